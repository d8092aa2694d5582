"""What inspections found: membership attacks, and hidden states layer by layer."""

from collections.abc import Iterator, Sequence
from typing import Any

from lacuna.report.base import Row, Table
from lacuna.report.cells import Cell, Stage, number_at
from lacuna.report.evidence import attack_cells


def inspections(stages: Sequence[Stage]) -> Table:
    """A row per cell, measure and layer; no rows where no stage was inspected."""
    rows: list[Row] = []
    for place, cell in attack_cells(stages):
        for name, path in membership_paths(cell):
            rows.append(place | _row(cell, name, None, cell.values("membership", *path)))
        for name, layer in layer_names(cell):
            rows.append(place | _row(cell, name, layer, layer_values(cell, name, layer)))
    columns = (
        "ratio", "objective", "scenario", "unlearn_lr", "measure", "layer", "status", "n", "seeds",
        "mean", "sd", "lo", "hi", "keys",
    )  # fmt: skip
    note = (
        "auc: how well an attack tells forgotten people from people never injected (1/2: not at "
        "all; above: facts are left). privleak: percent, 0 at the retained model, negative where "
        "facts are left. cka: similarity of hidden states, where answers to forget or retain "
        "questions begin, to those of the retained or injected model. knn, linear: share of "
        "forgotten answers whose first token a probe reads off the state, having learned on "
        "retain. lens: strength and probability of the answer if the layer were the last; "
        "lens_gap: the best earlier layer's probability minus the last one's. Read all beside the "
        "controls: `retained` is the floor, `injected` the ceiling."
    )
    return Table("inspections", "Membership and representations", note, columns, rows)


def membership_paths(cell: Cell) -> list[tuple[str, tuple[str, ...]]]:
    """Measure and its place in the summary, of every attack any finished stage has."""
    found = [s["summary"]["membership"] for s in cell.done if "membership" in s["summary"]]
    attacks = sorted({attack for record in found for attack in record["auc"]})
    areas: list[tuple[str, tuple[str, ...]]] = [(f"auc {name}", ("auc", name)) for name in attacks]
    return [*areas, ("privleak", ("privleak",))] if found else []


def layer_names(cell: Cell) -> list[tuple[str, int | None]]:
    """(measure, layer) of everything any finished stage has; None: the model as a whole."""
    layers = list(_layers(cell))
    names = sorted({(name, row["layer"]) for row in layers for name in row if name != "layer"})
    return [*names, ("lens_gap", None)] if layers else []


def layer_values(cell: Cell, name: str, layer: int | None) -> list[float | None]:
    """The measure at the layer in every finished stage; None where a stage lacks it."""
    if layer is None:
        return cell.values("representations", name)
    return [
        next((number_at(row, name) for row in _rows(stage) if row["layer"] == layer), None)
        for stage in cell.done
    ]


def _layers(cell: Cell) -> Iterator[dict[str, Any]]:
    for stage in cell.done:
        yield from _rows(stage)


def _rows(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage["summary"].get("representations", {}).get("layers", [])
    return found


def _row(
    cell: Cell, measure: str, layer: int | None, values: Sequence[float | None]
) -> dict[str, Any]:
    spread = cell.spread(values)
    return {
        "measure": measure,
        "layer": layer,
        "status": cell.status,
        "n": spread.n,
        "seeds": cell.seeds,
        **spread.columns(),
        "keys": cell.keys,
    }
