"""Lee et al.: unlearning in the true region is no better than in a random one, AUES and MU95."""

from collections.abc import Iterator

from lacuna.report.cells import BASELINE, ORACLE, UNIFORM, CellKey, find
from lacuna.report.claims.family import CLAIMS, Claims, Evidence, Family, unpaired
from lacuna.report.claims.places import Rivals, named, scenarios
from lacuna.report.published import SOURCE
from lacuna.report.results import Results
from lacuna.report.scores import Chances, chances
from lacuna.results import Paired

MATCHED = Family(
    name="region-matched",
    sentence="Lee et al., AUES to equal depth: the true region is no better than random ones",
    source=f"{SOURCE}, Table 2",
    difference="mean RS over FS up to the depth that all arms of a seed reach, oracle - random",
    rule="no better",
    margin=lambda margins: margins.matched,
)
DEPTH = Family(
    name="region-depth",
    sentence="Lee et al., RS at equal depth: the true region keeps no more than random ones",
    source=f"{SOURCE}, Table 2",
    difference="RS at the depth that all arms of a seed reach, oracle - random",
    rule="no better",
    margin=lambda margins: margins.depth,
    primary=False,
)
AUES = Family(
    name="region-aues",
    sentence="Lee et al., AUES as published: the true region is no better than a random one",
    source=f"{SOURCE}, Table 2",
    difference="area under the FS-RS curve, which is mostly the depth of a run, oracle - random",
    rule="no better",
    margin=lambda margins: margins.aues,
    primary=False,
)
MU95 = Family(
    name="region-mu95",
    sentence="Lee et al., MU95: the true region is no better than a random one",
    source=f"{SOURCE}, Table 2",
    difference="forget quality at 95% utility (log10 p), oracle - random",
    rule="no better",
    margin=lambda margins: margins.mu95,
    primary=False,
)
JUDGED = (
    ("matched", "AUES to equal depth", MATCHED),
    ("depth", "RS at equal depth", DEPTH),
    ("AUES", "AUES", AUES),
    ("MU95", "MU95", MU95),
)
"""(metric of the comparisons, its name in a sentence, the family it decides)."""


PLACES = {
    BASELINE: "a random region outside it",
    UNIFORM: "one drawn anywhere, which may hold what others' facts need",
}
"""Rival -> what it is. Under protocol lacuna `random` lies outside *all* masks, so that it spares
the facts to retain by construction: `uniform` does not."""


@CLAIMS.register("region")
class Region(Claims):
    """Oracle against random per metric, ratio and objective, from the study's comparisons.

    Where a study has the scenario `uniform`, against that one, too: secondary.
    """

    order = 10
    families = (MATCHED, DEPTH, AUES, MU95)

    @staticmethod
    def evidence(results: Results) -> Iterator[Evidence]:
        """All objectives in one metric after the other; MU95 where the data have it."""
        shares = chances(results.stages)
        for metric, meaning, family in JUDGED:
            for (ratio, objective), cells in scenarios(results).items():
                key = CellKey(ratio, objective, ORACLE)
                for rival in [name for name in PLACES if name in cells]:
                    against = "" if rival == BASELINE else f", against {rival}"
                    yield Evidence(
                        family=family,
                        about=f"{named(objective, ratio)}{against}",
                        statement=(
                            f"With {objective}, unlearning in the true region gives no better "
                            f"{meaning} than in {PLACES[rival]} ({_size(shares, ratio)})."
                        ),
                        record=_record(results, key, metric, cells, rival),
                        keys=[*cells[ORACLE].keys, *cells[rival].keys],
                        primary=rival == BASELINE,
                    )


def _size(shares: Chances, ratio: float | None) -> str:
    """How large the regions of a ratio are, in words."""
    own = [share for (asked, _), share in shares.items() if asked == ratio]
    if own:
        return f"{sum(own) / len(own):.3g} of the weights"
    return f"{ratio:g} of the value vectors" if ratio is not None else "of its size"


def _record(results: Results, key: CellKey, metric: str, cells: Rivals, rival: str) -> Paired:
    record = find(results.comparisons, key, metric, rival)
    if record is not None:
        return record
    n = min(len(cells[ORACLE].seeds), len(cells[rival].seeds))
    return unpaired(n, _uncompared(results, key, metric))


def _uncompared(results: Results, key: CellKey, metric: str) -> str:
    """Why the study has no comparison of the true region with its rival."""
    for choice in results.choices:
        if (choice["ratio"], choice["objective"]) == key[:2] and choice["lr"] is None:
            return f"{choice['scenario']}: {choice['reason']}"
    return f"{metric} was not compared"
