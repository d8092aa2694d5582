"""What inspections found: membership attacks, and hidden states layer by layer."""

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

from typing_extensions import TypedDict

from lacuna.report.attacks import Attacked, attack_cells
from lacuna.report.cells import Cell, number
from lacuna.report.columns import KEYS, SEEDS, STATUS, AttackPlace, N
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Column, StudyTable, columns_of
from lacuna.results import LayerStates

LayerMeasure = Literal[
    "knn",
    "linear",
    "lens_es",
    "lens_probability",
    "cka_forget_retained",
    "cka_retain_retained",
    "cka_forget_injected",
    "cka_retain_injected",
]
"""What is measured of one layer, as its record names it."""
Finding = tuple[str, int | None, list[float | None]]
"""Measure, layer (None: of the whole model), and its value in every finished stage."""


class Measured(TypedDict):
    """A measure over seeds."""

    measure: Annotated[
        str,
        Column(
            "auc: of a membership attack; privleak; cka, knn, linear, lens: of hidden states. See "
            "the note"
        ),
    ]
    layer: Annotated[int | None, Column("Layer, from 0; empty: the model as a whole")]
    status: Annotated[str, STATUS]
    n: Annotated[int, N]
    seeds: Annotated[list[int | None], SEEDS]
    mean: Annotated[float | None, Column("Mean over seeds", "as the measure")]
    sd: Annotated[float | None, Column("Standard deviation over seeds", "as the measure")]
    lo: Annotated[
        float | None,
        Column("Lower end of the mean's 95% t interval", "as the measure", hidden=True),
    ]
    hi: Annotated[
        float | None,
        Column("Upper end of the mean's 95% t interval", "as the measure", hidden=True),
    ]


class InspectionRow(AttackPlace, Measured):
    """A measure of the models of one cell."""

    keys: Annotated[list[str], KEYS]


@TABLES.register("inspections")
class Inspections(StudyTable):
    """What optional inspections measured; no rows where no stage was inspected."""

    order = 100
    title = "Membership and representations"
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
    columns = columns_of(InspectionRow)
    optional = True

    @staticmethod
    def rows(results: Results) -> Iterator[InspectionRow]:
        """By cell, measure and layer."""
        for place, cell in attack_cells(results.stages):
            for measure, layer, values in (*_membership(cell), *_representations(cell)):
                yield {**place, **_measured(cell, measure, layer, values), "keys": cell.keys}


def _membership(cell: Cell[Attacked]) -> Iterator[Finding]:
    """Of every attack that any finished stage has."""
    found = [stage["summary"].get("membership") for stage in cell.done]
    for attack in sorted({name for one in found if one is not None for name in one["auc"]}):
        yield f"auc {attack}", None, [one and number(one["auc"].get(attack)) for one in found]
    if any(found):
        yield "privleak", None, [one and number(one["privleak"]) for one in found]


def _representations(cell: Cell[Attacked]) -> Iterator[Finding]:
    """Of every layer and measure that any finished stage has."""
    found = [stage["summary"].get("representations") for stage in cell.done]
    layers = [{row["layer"]: row for row in one["layers"]} if one else {} for one in found]
    for measure in sorted(get_args(LayerMeasure)):
        for layer in sorted({n for one in layers for n, row in one.items() if measure in row}):
            yield measure, layer, [_value(one.get(layer), measure) for one in layers]
    if any(layers):
        yield "lens_gap", None, [one and number(one["lens_gap"]) for one in found]


def _value(row: LayerStates | None, measure: LayerMeasure) -> float | None:
    return None if row is None else number(row.get(measure))


def _measured(
    cell: Cell[Attacked], measure: str, layer: int | None, values: list[float | None]
) -> Measured:
    spread = cell.spread(values)
    return {
        "measure": measure,
        "layer": layer,
        "status": cell.status,
        "n": spread.n,
        "seeds": cell.seeds,
        "mean": spread.mean,
        "sd": spread.sd,
        "lo": spread.lo,
        "hi": spread.hi,
    }
