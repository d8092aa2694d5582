"""Erased or hidden: unlearning in the true region takes out of it what is stored there."""

from collections.abc import Iterator

from lacuna.report.cells import BASELINE, ORACLE, SeedArms, arms_by_seed, finished
from lacuna.report.claims.family import CLAIMS, Claims, Evidence, Family, unpaired
from lacuna.report.claims.places import LACUNA, Rivals, named, scenarios
from lacuna.report.results import Results
from lacuna.report.tables.transplant import stored_share
from lacuna.results import Paired, TrialRow
from lacuna.seeds import numpy_generator
from lacuna.significance import arms_paired

FAMILY = Family(
    name="erased-or-hidden",
    sentence="LACUNA, erased or hidden: unlearning in the true region empties it",
    source=LACUNA,
    difference="share of what injection brought that the target still holds, oracle - random",
    rule="erases more",
    margin=lambda margins: margins.stored,
    primary=False,
)


@CLAIMS.register("erased")
class Erased(Claims):
    """Stored share, the true region minus random ones, per ratio and objective.

    A random region lies outside the target, so unlearning there leaves the target as it was: under
    protocol `lee` its share is 1 by construction, and the difference is minus what was erased. It
    fails where less than the margin, half of what was planted, was taken out of the place: then
    facts that are no longer said are hidden there. Only studies with `evaluate.transplant`.
    """

    order = 50
    families = (FAMILY,)

    @staticmethod
    def evidence(results: Results) -> Iterator[Evidence]:
        """By ratio and objective."""
        for (ratio, objective), cells in scenarios(results).items():
            if not any(map(_measured, [*cells[ORACLE].done, *cells[BASELINE].done])):
                continue
            yield Evidence(
                family=FAMILY,
                about=named(objective, ratio),
                statement=(
                    f"With {objective}, the true region holds less of the facts after unlearning "
                    f"inside it than after unlearning in a random region."
                ),
                record=_record(cells),
                keys=[*cells[ORACLE].keys, *cells[BASELINE].keys],
            )


def _measured(stage: TrialRow) -> bool:
    return finished(stage) and "transplant" in stage["summary"]


def _record(cells: Rivals) -> Paired:
    arms: list[SeedArms] = arms_by_seed(cells[ORACLE], cells[BASELINE])
    if not arms:
        return unpaired(0, "no seed has trials in both regions")
    names = [one.seed for one in arms]
    generator = numpy_generator(0, "erased", *names)
    record = arms_paired([one.values(stored_share) for one in arms], names, generator=generator)
    failed = [reason for one in arms for reason in one.missing]
    return {**record, "missing": failed or record["missing"]}
