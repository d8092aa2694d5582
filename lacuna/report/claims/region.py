"""Lee et al.: unlearning in the true region is no better than in a random one, AUES and MU95."""

from collections.abc import Iterator

from lacuna.report.cells import BASELINE, ORACLE, CellKey, find
from lacuna.report.claims.family import CLAIMS, Claims, Evidence, Family, unpaired
from lacuna.report.claims.places import Rivals, named, scenarios
from lacuna.report.claims.rules import NO_MORE
from lacuna.report.published import SOURCE
from lacuna.report.results import Results
from lacuna.report.scores import chances
from lacuna.results import Paired

AUES = Family(
    name="region-aues",
    sentence="Lee et al., AUES: the true region is no better than a random one",
    source=f"{SOURCE}, Table 2",
    difference="area under the FS-RS curve, oracle - random",
    upheld=NO_MORE,
    margin=lambda margins: margins.aues,
)
MU95 = Family(
    name="region-mu95",
    sentence="Lee et al., MU95: the true region is no better than a random one",
    source=f"{SOURCE}, Table 2",
    difference="forget quality at 95% utility (log10 p), oracle - random",
    upheld=NO_MORE,
    margin=lambda margins: margins.mu95,
)


@CLAIMS.register("region")
class Region(Claims):
    """Oracle against random per metric, ratio and objective, from the study's comparisons."""

    order = 10
    families = (AUES, MU95)

    @staticmethod
    def evidence(results: Results) -> Iterator[Evidence]:
        """All objectives in AUES, then all in MU95."""
        shares = list(chances(results.stages).values())
        for metric, family in (("AUES", AUES), ("MU95", MU95)):
            for (ratio, objective), cells in scenarios(results).items():
                size = f"{ratio:g} of the value vectors" if ratio is not None else "of its size"
                if shares:
                    size = f"{sum(shares) / len(shares):.3g} of the weights"
                key = CellKey(ratio, objective, ORACLE)
                yield Evidence(
                    family=family,
                    about=named(objective, ratio),
                    statement=(
                        f"With {objective}, unlearning in the true region gives no better {metric} "
                        f"than in a random region outside it ({size})."
                    ),
                    record=_record(results, key, metric, cells),
                    keys=[*cells[ORACLE].keys, *cells[BASELINE].keys],
                )


def _record(results: Results, key: CellKey, metric: str, cells: Rivals) -> Paired:
    record = find(results.comparisons, key, metric)
    if record is not None:
        return record
    n = min(len(cells[ORACLE].seeds), len(cells[BASELINE].seeds))
    return unpaired(n, _uncompared(results, key, metric))


def _uncompared(results: Results, key: CellKey, metric: str) -> str:
    """Why the study has no comparison of oracle and random."""
    for choice in results.choices:
        if (choice["ratio"], choice["objective"]) == key[:2] and choice["lr"] is None:
            return f"{choice['scenario']}: {choice['reason']}"
    return f"{metric} was not compared"
