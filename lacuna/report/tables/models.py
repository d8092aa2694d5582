"""Base, retained and injected models, one row each, with the checks an injection must pass."""

from collections.abc import Iterator, Mapping
from typing import Annotated, cast

from typing_extensions import TypedDict

from lacuna.report.cells import controls, finished, number, of_kind, tag
from lacuna.report.columns import KEYS, RATIO, SEED
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, Recorded, StudyTable, columns_of
from lacuna.results import ControlRow, ControlSummary, InjectedSummary, StageRow


class ModelRow(TypedDict):
    """A model."""

    model: Annotated[
        str,
        Column(
            "`base`: before any fact was taught; `retained`: never saw the facts to forget; "
            "`injected`: knows them"
        ),
    ]
    ratio: Annotated[float | None, RATIO]
    seed: Annotated[int | None, SEED]
    status: Annotated[str, Column("`ok`, or failed: then no other column has a value")]
    forget_es: Annotated[
        float | None,
        Column("Mean extraction strength of the facts to forget; 1: recites every answer", "share"),
    ]
    retain_es: Annotated[
        float | None,
        Column("Mean extraction strength of the facts to keep", "share", "higher"),
    ]
    paraphrase_es: Annotated[
        float | None,
        Column(
            "Mean extraction strength of the facts to forget, asked in wordings never trained on",
            "share",
        ),
    ]
    mu: Annotated[
        float | None,
        Column("Model utility (TOFU): harmonic mean over the utility sets", "share", "higher"),
    ]
    fq: Annotated[
        float | None,
        Column(
            "Forget quality: p of a Kolmogorov-Smirnov test of truth ratios against the retained "
            "model's; 0: cannot be told apart",
            "log10 p",
        ),
    ]
    steps: Annotated[int | None, Column("Optimizer steps that trained the model", "steps")]
    outside_equal: Annotated[
        bool | None,
        Column(
            "Whether every value outside the target region is bit-identical to the retained model"
        ),
    ]
    leak_passed: Annotated[
        bool | None,
        Column("Whether the model knows no more than the retained one once its region is put back"),
    ]
    leak_es_restored: Annotated[
        float | None,
        Column("Forget extraction strength with the region put back to retained values", "share"),
    ]
    leak_es_retained: Annotated[
        float | None, Column("Forget extraction strength of the retained model", "share")
    ]
    keys: Annotated[list[str], KEYS]


@TABLES.register("models")
class Models(StudyTable):
    """Every model that trials start from or are compared with."""

    order = 20
    title = "Models"
    note = (
        "ES: mean extraction strength (1: the model recites every answer). outside_equal: every "
        "value outside the target region is bit-identical to the retained model. Leak check: "
        "with the region put back, forget ES (leak_es_restored) must be that of the retained model."
    )
    columns = columns_of(ModelRow)
    recorded = Recorded(("model", "ratio", "seed"), ("forget_es", "retain_es", "mu"), 0.05)

    @staticmethod
    def rows(results: Results) -> Iterator[ModelRow]:
        """By kind of model, then by seed."""
        measured = {
            (tag(stage, "model"), tag(stage, "seed"), tag(stage, "ratio")): stage
            for stage in controls(results.stages)
            if finished(stage)
        }
        for kind in ("base", "retained", "injected"):
            for stage in of_kind(results.stages, kind):
                seed, ratio = tag(stage, "seed"), tag(stage, "ratio")
                shared = measured.get((kind, seed, None))
                yield _row(kind, stage, measured.get((kind, seed, ratio)) or shared)


def _row(kind: str, stage: StageRow, control: ControlRow | None) -> ModelRow:
    summary = cast(InjectedSummary, stage.get("summary") or {})
    measured = cast(Mapping[str, object], {} if control is None else control["summary"])
    ends = cast(ControlSummary, {**measured, **summary})
    leak = summary.get("leak")
    return {
        "model": kind,
        "ratio": tag(stage, "ratio"),
        "seed": tag(stage, "seed"),
        "status": "ok" if finished(stage) else "failed (1 of 1)",
        "forget_es": number(ends.get("forget_es")),
        "retain_es": number(ends.get("retain_es")),
        "paraphrase_es": number(ends.get("paraphrase_es")),
        "mu": number(ends.get("mu")),
        "fq": number(ends.get("fq")),
        "steps": summary.get("steps"),
        "outside_equal": summary.get("outside_equal"),
        "leak_passed": None if leak is None else leak["passed"],
        "leak_es_restored": None if leak is None else number(leak["forget_es_restored"]),
        "leak_es_retained": None if leak is None else number(leak["forget_es_retained"]),
        "keys": [stage["key"], *([control["key"]] if control else [])],
    }
