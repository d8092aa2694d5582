"""LACUNA: full-parameter methods move weights blindly, by the AUC of their raw change."""

from collections.abc import Iterator

from lacuna.report.cells import FULL
from lacuna.report.claims.family import CLAIMS, Claims, Evidence, Family
from lacuna.report.claims.places import LACUNA, named
from lacuna.report.results import Results
from lacuna.report.scores import headline, read, scores
from lacuna.significance import paired

FAMILY = Family(
    name="precision",
    sentence="LACUNA, localization precision: full-parameter methods move weights blindly",
    source=LACUNA,
    difference="AUC of raw change against the masks to forget, minus 1/2 or that of noise",
    rule="no better",
    margin=lambda margins: margins.auc,
)


@CLAIMS.register("precision")
class Precision(Claims):
    """AUC of full-parameter methods against 1/2, and against noise as large as the update."""

    order = 40
    families = (FAMILY,)

    @staticmethod
    def evidence(results: Results) -> Iterator[Evidence]:
        """By cell, against both nulls."""
        for key, cell, score in headline(results.stages):
            if key.scenario != FULL:
                continue
            rows = scores(cell, "forget", score)
            areas = cell.paired(read(rows, lambda row: row["auc"]))
            noise = cell.paired(read(rows, lambda row: row["noise_auc"])).values()
            seeds = [seed or 0 for seed in areas]
            for name, null in (("1/2", [0.5] * len(seeds)), ("its noise null", list(noise))):
                yield Evidence(
                    family=FAMILY,
                    about=f"{named(key.objective, key.ratio)}, {score} AUC against {name}",
                    statement=(
                        f"The weights that full-parameter {key.objective} moves most hold no more "
                        f"of the facts to forget than {name} would."
                    ),
                    record=paired(list(areas.values()), null, seeds),
                    keys=cell.keys,
                )
