"""Dose of location: the more of the true region an equally large one holds, the better?

Scenario `random` (its first region), the localizers `dose25`, `dose50` and `dose75`, and `oracle`
hold the shares 0, .25, .5, .75 and 1 of the target region. All of a seed's are read at the depth
that all of them reach (`lacuna.significance.matched`), and a seed has one slope of what was read on
the share d, by least squares, per whole dose:

    slope = sum_k (d_k - mean d) y_k / sum_k (d_k - mean d)^2
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from lacuna.localize.localizers.dose import DOSES
from lacuna.report.attacks import MEASURES, Attack, attack_names, attack_of, attack_records, levels
from lacuna.report.cells import (
    BASELINE,
    ORACLE,
    Cell,
    SeedArms,
    by_parts,
    first_by_seed,
)
from lacuna.report.claims.family import CLAIMS, Claims, Evidence, Family
from lacuna.report.claims.places import named, scenarios
from lacuna.report.results import Results
from lacuna.results import Paired, TrialRow
from lacuna.significance import (
    Curve,
    arms_of,
    compare_curves,
    paired,
    slope_of,
    slope_weights,
    two_way_of_arms,
)
from lacuna.significance.arms import Floats
from lacuna.significance.matched import at_common_depth, scores
from lacuna.significance.seeds import by_two_way

SHARES = {BASELINE: 0.0, **DOSES, ORACLE: 1.0}
"""Scenario -> share of the target region in its own, rising."""
CURVES: Mapping[str, Callable[[Floats, Floats], Floats]] = {
    "matched": scores,
    "depth": at_common_depth,
}
"""What is read off the curves of a seed's arms: AUES to equal depth, and RS at that depth."""

FAMILY = Family(
    name="dose",
    sentence="Dose of location: AUES to equal depth rises with the share of the truth",
    source="a question of this testbed",
    difference="slope of AUES to equal depth on the share of the target region, per whole region",
    rule="rises",
    margin=lambda margins: margins.matched,
    primary=False,
)


@dataclass(frozen=True)
class Read:
    """One number of every dose of every seed, and the seeds' slopes on the dose."""

    values: Sequence[Sequence[float | None]]
    """(seeds, doses)."""
    record: Paired
    """Slopes against 0, with their mean and its interval."""


@dataclass(frozen=True)
class Doses:
    """The cells of one ratio and objective by rising dose."""

    ratio: float | None
    objective: str | None
    shares: Sequence[float]
    cells: Sequence[Cell[TrialRow]]

    @cached_property
    def arms(self) -> list[SeedArms]:
        """The trials of every seed that has all doses, in their order."""
        return first_by_seed(self.cells)

    @property
    def keys(self) -> list[str]:
        """Of all trials."""
        return [stage["key"] for one in self.arms for stage in one.trials]

    def of_curves(self, measure: str) -> Read:
        """A member of `CURVES`; the interval is over seeds and people."""
        found = self._read([_matched(one, measure) for one in self.arms])
        if self.arms and not found.record["missing"]:
            people = [arms_of(one.summaries) for one in self.arms]
            slope = slope_of(CURVES[measure], self.shares)
            by_two_way(found.record, two_way_of_arms(people, slope))
        return found

    def of_attack(self, attack: Attack) -> Read:
        """Log-probability of the people not attacked after an attack."""

        def after(stage: TrialRow) -> float | None:
            record = attack_of(stage, attack)
            return None if record is None else MEASURES["logp"].after(record)

        return self._read([one.values(after) for one in self.arms])

    def relearning(self) -> list[Attack]:
        """Attacks from a matched start that trained on some of the forgotten people."""
        return [
            attack
            for attack in sorted({a for c in self.cells for a in attack_names(c)}, key=by_parts)
            if attack.start is not None and any(_trained(cell, attack) for cell in self.cells)
        ]

    def _read(self, values: Sequence[Sequence[float | None]]) -> Read:
        weights, seeds = slope_weights(self.shares), [one.seed for one in self.arms]
        slopes = [_sum(weights, row) for row in values]
        record = paired(slopes, [0.0] * len(slopes), seeds)
        reasons = [
            one.missing or [f"seed {one.seed}: a dose has no value"]
            for one, slope in zip(self.arms, slopes, strict=True)
            if slope is None
        ]
        record["missing"] = [reason for own in reasons for reason in own]
        return Read(values, record)


def _sum(weights: Floats, values: Sequence[float | None]) -> float | None:
    """The weighted sum; None where a value is."""
    known = [value for value in values if value is not None]
    return float(weights @ known) if len(known) == len(values) else None


def _matched(one: SeedArms, measure: str) -> Sequence[float | None]:
    if one.missing:
        return [None] * len(one.trials)
    curves = [Curve(found["curve"]["fs"], found["curve"]["rs"]) for found in one.summaries]
    matched = compare_curves(curves)
    return matched.aues if measure == "matched" else matched.at_depth.rs


def _trained(cell: Cell[TrialRow], attack: Attack) -> bool:
    records = attack_records(cell, attack)
    return any(es is not None for es in levels(records, lambda record: record["attacked_es_after"]))


def doses(results: Results) -> Iterator[Doses]:
    """By ratio and objective, where there is a dose between none and all."""
    for (ratio, objective), cells in scenarios(results).items():
        held = {share: cells[name] for name, share in SHARES.items() if name in cells}
        if len(held) > 2:
            yield Doses(ratio, objective, list(held), list(held.values()))


@CLAIMS.register("dose")
class Dose(Claims):
    """A claim per ratio and objective."""

    order = 15
    families = (FAMILY,)

    @staticmethod
    def evidence(results: Results) -> Iterator[Evidence]:
        """Slopes of AUES to equal depth."""
        for found in doses(results):
            yield Evidence(
                family=FAMILY,
                about=named(found.objective, found.ratio),
                statement=(
                    f"With {found.objective}, AUES to equal depth is the higher, the larger the "
                    f"share of the true region in the region that unlearning is confined to."
                ),
                record=found.of_curves("matched").record,
                keys=found.keys,
            )
