"""What was planted, and whether it is where the study says: a sentence a check."""

from collections.abc import Callable, Iterator, Sequence
from statistics import fmean

from lacuna.report.cells import finished, injections, tag
from lacuna.report.results import Results
from lacuna.report.tables.models import ModelRow, Models


def planted(results: Results) -> list[str]:
    """Floor and ceiling of what models recite, then how many checkpoints pass each check."""
    rows = list(Models.rows(results))
    return [*_levels(rows), *_checks(results, [r for r in rows if r["model"] == "injected"])]


def _levels(rows: Sequence[ModelRow]) -> Iterator[str]:
    """Forget ES: the ceiling of injected models, the floor of retained ones."""
    said = []
    for model, place in (("injected", "ceiling"), ("retained", "floor"), ("base", "untaught")):
        values = [row["forget_es"] for row in rows if row["model"] == model]
        known = [value for value in values if value is not None]
        if known:
            said.append(f"{model} {fmean(known):.3f} ({place}, n = {len(known)})")
    if said:
        yield f"Mean extraction strength of the facts to forget: {', '.join(said)}."


def _checks(results: Results, rows: Sequence[ModelRow]) -> Iterator[str]:
    checks: tuple[tuple[Callable[[ModelRow], bool | None], str], ...] = (
        (
            lambda row: row["outside_equal"],
            "Outside the target region {k} of {n} injected models are bit-identical to the "
            "retained one.",
        ),
        (
            lambda row: row["leak_passed"],
            "With the region put back, {k} of {n} know no more than the retained one: nothing "
            "leaked elsewhere.",
        ),
    )
    for read, sentence in checks:
        found = [passed for row in rows if (passed := read(row)) is not None]
        if found:
            yield sentence.format(k=sum(found), n=len(found))
    causal = [
        (tag(stage, "seed"), report["passed"])
        for stage in injections(results.stages)
        if finished(stage) and (report := stage["summary"].get("causal"))
    ]
    if causal:
        failed = [str(seed) for seed, passed in causal if not passed]
        but = f"; not at seed{'s' * (len(failed) > 1)} {', '.join(failed)}" if failed else ""
        yield (
            f"In {len(causal) - len(failed)} of {len(causal)} the causal report finds the facts in "
            f"their own place{but}."
        )
