"""Unlearn, walk the mixing curve, attack; and the attacks on models that were not unlearned."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from typing_extensions import TypedDict

from lacuna.attack import AttackConfig, MixingPath, attack, gather
from lacuna.data import Corpus
from lacuna.data.tokens import Encoded
from lacuna.evaluate import (
    Evaluator,
    forget_quality,
    full_curve,
    inspect,
    strength_curve,
)
from lacuna.model import (
    LoadedModel,
    layout,
)
from lacuna.pipeline.common import (
    ModelConfig,
    StageInputs,
    encode,
    load,
    on_cpu,
    resume_in,
    target_of,
)
from lacuna.pipeline.summary import (
    ends,
    full_summary,
    mean,
    save_items,
    strength_summary,
    truth_ratios,
    write_items,
)
from lacuna.pipeline.transplant import transplant
from lacuna.pipeline.update_location import moved
from lacuna.region import (
    Region,
    WeightRegion,
    load_region,
    overlap,
)
from lacuna.results import (
    AttackRecord,
    ControlSummary,
    InspectionRecords,
    SearchSummary,
    TransplantRecord,
    TrialPlace,
    TrialSummary,
    UpdateLocation,
)
from lacuna.seeds import derive
from lacuna.train import (
    Editable,
    Parallel,
    TrainConfig,
    editable,
    is_main_process,
)
from lacuna.unlearn import OBJECTIVES, WRAPPERS, UnlearnData, parse, unlearn


@dataclass(frozen=True, kw_only=True)
class TrialConfig:
    """One point of the grid: an objective inside a scenario's region."""

    objective: str
    """The objective's name, wrappers included: `npo`, `npo+sam`."""
    scenario: str
    """Name of the region that unlearning may change, for the summary."""
    train: TrainConfig
    """Steps, rate and batch size of unlearning."""
    options: object
    """The objective's own `Config`."""
    wrappers: Mapping[str, object] = field(default_factory=dict)
    """Wrapper -> its own `Config`."""
    parallel: Parallel = field(default_factory=Parallel)
    """Over how many devices the unlearning is spread, where it moves all parameters."""
    attacks: AttackConfig | None = None
    """Attacks of a test trial; None is a search trial, which measures the FS-RS curve only."""


def trial(
    out: Path,
    *,
    injected: Path,
    retained: Path,
    base: Path | None = None,
    region: Path | None,
    given: StageInputs[TrialConfig],
) -> SearchSummary | TrialSummary | None:
    """theta_u: unlearn, walk the mixing curve, attack.

    `region` is a region file of either kind, None for all parameters; `base`, the model before
    injection, is for scores of reversal. Several processes may unlearn together, resumably; then
    the first measures and attacks alone, on its own device, and the others return None.
    """
    loaded, config = load(injected, given.model), given.config
    allowed = None if region is None else load_region(region, layout(loaded.model))
    weights = editable(loaded.model, allowed)
    start = weights.read()
    _forget(loaded, weights, given, retained)
    if not is_main_process():
        return None
    path = MixingPath(weights, start, weights.read())
    evaluator = Evaluator(loaded, given.corpus, given.evaluate)
    place: TrialPlace = {
        "objective": config.objective,
        "scenario": config.scenario,
        "seed": given.seed,
        "ratio": given.ratio,
        "lr": config.train.lr,
    }
    if given.region > 1:
        place["region"] = given.region
    if config.attacks is None:
        return _searched(place, evaluator, loaded, path)
    curve = full_curve(
        evaluator, loaded.model, path.weights, path.start, path.end, truth_ratios(retained)
    )
    save_items(out, evaluator, curve.points[-1])
    others = {"retained": retained, "injected": injected}
    summary: TrialSummary = {
        **place,
        "purpose": "test",
        **full_summary(curve, evaluator),
        **_inspections(out, evaluator, loaded, others, given.model),
        **_where(out, loaded, injected, base, given.model, allowed),
        "paraphrase_es_end": mean(evaluator.paraphrased(loaded.model)),
        **_transplanted(evaluator, loaded, injected, retained, given),
        "attacks": _attacks(loaded, evaluator, config.attacks, given.seed, path),
    }
    return summary


class _Transplanted(TypedDict, total=False, closed=True):
    """The part of a trial's summary that only some studies have."""

    transplant: TransplantRecord


class _Transplants(TypedDict, total=False, closed=True):
    """The same of a control."""

    transplants: dict[str, TransplantRecord]


def _transplanted(
    evaluator: Evaluator,
    loaded: LoadedModel,
    injected: Path,
    retained: Path,
    given: StageInputs[TrialConfig],
) -> _Transplanted:
    if not given.evaluate.transplant:
        return {}
    found = transplant(evaluator, loaded.model, injected, retained, given.model, given.seed)
    return {} if found is None else {"transplant": found}


def _control_transplants(
    evaluator: Evaluator,
    loaded: LoadedModel,
    injected: Path,
    retained: Path,
    given: StageInputs[AttackConfig],
) -> _Transplants:
    """Of the injected model, and of the retained one in its place; of no other control."""
    if not given.evaluate.transplant:
        return {}
    others = {"injected": loaded.model, "retained": load(retained, given.model).model}
    records = {
        name: transplant(evaluator, model, injected, retained, given.model, given.seed)
        for name, model in others.items()
    }
    found = {name: record for name, record in records.items() if record is not None}
    return {"transplants": found} if found else {}


def _searched(
    place: TrialPlace, evaluator: Evaluator, loaded: LoadedModel, path: MixingPath
) -> SearchSummary:
    """What a search trial measures: the FS-RS curve."""
    curve = strength_curve(evaluator, loaded.model, path.weights, path.start, path.end)
    return {**place, "purpose": "search", **strength_summary(curve)}


def control(
    out: Path, *, model_folder: Path, retained: Path, name: str, given: StageInputs[AttackConfig]
) -> ControlSummary:
    """The attacks on a model that was not unlearned: `base`, `retained` or `injected`."""
    loaded = load(model_folder, given.model)
    evaluator = Evaluator(loaded, given.corpus, given.evaluate)
    measured = evaluator.measure(loaded.model)
    ratios, quality = truth_ratios(retained), None
    if ratios is not None:
        quality = forget_quality(measured.forget["truth_ratio"], ratios).log10_p
    return {
        "model": name,
        "seed": given.seed,
        "fq": quality,
        **ends(evaluator, loaded, measured),
        **_inspections(out, evaluator, loaded, {"retained": retained}, given.model),
        **_control_transplants(evaluator, loaded, model_folder, retained, given),
        "attacks": _attacks(loaded, evaluator, given.config, given.seed),
    }


def _where(
    out: Path,
    loaded: LoadedModel,
    injected: Path,
    base: Path | None,
    model: ModelConfig,
    allowed: Region | WeightRegion | None,
) -> UpdateLocation:
    """How well the allowed region and the change of unlearning match the target region."""
    target = target_of(injected, layout(loaded.model))
    if target is None:
        return {"localization": None}
    change, weights = moved(
        out,
        loaded,
        injected,
        lambda: on_cpu(injected, model),
        None if base is None else lambda: load(base, replace(model, device="cpu")),
        target,
    )
    region = None if allowed is None else overlap(allowed, target)
    location: UpdateLocation = {"localization": {"region": region, "change": change}}
    if weights is not None:
        location["precision"] = weights
    return location


def _unlearn_data(loaded: LoadedModel, corpus: Corpus, seed: int) -> UnlearnData:
    """Each forget question is paired with a refusal, drawn by seed and question."""
    refusals = [
        Encoded.answer(
            loaded.tokenizer,
            loaded.prompt,
            item.question,
            corpus.refusals[derive(seed, "refusal", item.id) % len(corpus.refusals)],
        )
        for item in corpus.forget
        if corpus.refusals
    ]
    forget, retain = encode(loaded, corpus.forget), encode(loaded, corpus.retain)
    neutral = [Encoded.text(loaded.tokenizer, text) for text in corpus.neutral]
    return UnlearnData(forget, retain, refusals, neutral=neutral)


def _forget(
    loaded: LoadedModel, weights: Editable, given: StageInputs[TrialConfig], retained: Path
) -> None:
    """Unlearn, in place; the retained model is read only for an objective that needs it."""
    config = given.config
    name, around = parse(config.objective)
    objective = OBJECTIVES[name](config.options)
    before = load(retained, given.model).model if objective.needs_retained else None
    unlearn(
        loaded.model,
        weights,
        objective,
        _unlearn_data(loaded, given.corpus, given.seed),
        config.train,
        given.seed,
        wrappers=[WRAPPERS[wrapper](config.wrappers[wrapper]) for wrapper in around],
        retained=before,
        on_step=given.on_step,
        parallel=config.parallel,
        resume=resume_in(given.scratch, config.train) if config.parallel.zero else None,
    )


def _attacks(
    loaded: LoadedModel,
    evaluator: Evaluator,
    config: AttackConfig,
    seed: int,
    path: MixingPath | None = None,
) -> list[AttackRecord]:
    corpus = evaluator.corpus
    facts = gather(loaded, corpus, evaluator, config, derive(seed, "attack"))
    outcomes = attack(loaded.model, facts, encode(loaded, corpus.retain), config, seed, path)
    return [outcome.to_json() for outcome in outcomes]


def _inspections(
    out: Path,
    evaluator: Evaluator,
    loaded: LoadedModel,
    others: Mapping[str, Path],
    config: ModelConfig,
) -> InspectionRecords:
    """Results of the inspections that are on, by name; per-item scores go to files of that name."""
    results = inspect(evaluator, loaded.model, others, lambda folder: load(folder, config).model)
    records: InspectionRecords = {}
    if "membership" in results:
        records["membership"] = results["membership"].summary
        write_items(out / "membership.json", evaluator, results["membership"].items)
    if "representations" in results:
        records["representations"] = results["representations"].summary
        write_items(out / "representations.json", evaluator, results["representations"].items)
    if "depth" in results:
        records["depth"] = results["depth"].summary
        write_items(out / "depth.json", evaluator, results["depth"].items)
    return records
