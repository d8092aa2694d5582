"""Precision and recall against the target region, layer by layer."""

from collections.abc import Iterator
from typing import Annotated

from lacuna.report.cells import Spread, number
from lacuna.report.columns import KEYS, STATUS, LocatedPlace
from lacuna.report.localizers import Located, located
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import LayerOverlap


class LayerRow(LocatedPlace):
    """A region within one layer."""

    layer: Annotated[int, Column("Layer, from 0")]
    status: Annotated[str, STATUS]
    precision_n: Annotated[
        int, Column("Seeds in which the region has vectors in this layer", "seeds")
    ]
    precision_mean: Annotated[
        float | None,
        Column("Mean share of the region's vectors of this layer that lie in the target", "share"),
    ]
    precision_sd: Annotated[
        float | None, Column("Standard deviation of precision over seeds", "share")
    ]
    recall_n: Annotated[int, Column("Seeds in which the target has vectors in this layer", "seeds")]
    recall_mean: Annotated[
        float | None,
        Column("Mean share of the target's vectors of this layer that lie in the region", "share"),
    ]
    recall_sd: Annotated[float | None, Column("Standard deviation of recall over seeds", "share")]
    keys: Annotated[list[str], KEYS]


@TABLES.register("localization_layers")
class LocalizationLayers(StudyTable):
    """How well the region that holds the facts is found within each layer."""

    order = 55
    title = "Localization by layer"
    note = "n: finished seeds in which the layer's value is defined."
    columns = columns_of(LayerRow)
    show = False

    @staticmethod
    def rows(results: Results) -> Iterator[LayerRow]:
        """By region, then by layer."""
        for one in located(results.stages):
            found = [
                {int(entry["layer"]): entry for entry in (record and record.get("by_layer")) or ()}
                for record in one.records
            ]
            for layer in sorted({layer for layers in found for layer in layers}):
                yield _row(one, layer, [layers.get(layer) for layers in found])


def _row(one: Located, layer: int, entries: list[LayerOverlap | None]) -> LayerRow:
    """A layer's row, from what each finished stage says of it."""
    means = one.cell.means
    precision = Spread.known(means([entry and number(entry["precision"]) for entry in entries]))
    recall = Spread.known(means([entry and number(entry["recall"]) for entry in entries]))
    return {
        **one.place,
        "layer": layer,
        "status": one.cell.status,
        "precision_n": precision.n,
        "precision_mean": precision.mean,
        "precision_sd": precision.sd,
        "recall_n": recall.n,
        "recall_mean": recall.mean,
        "recall_sd": recall.sd,
        "keys": one.cell.keys,
    }
