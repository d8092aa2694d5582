"""Published numbers: Tables 1 to 6 of Lee et al. 2025 (arXiv 2505.16252).

Nothing here is measured by this project: the report prints these cells beside its own. Names are
this project's: objectives `wga`, `npo`, `dpo`, `rmu`; scenarios `oracle`, `random`, a localizer's
name, and `original` for the model before unlearning. Metrics are `AUES` (area under the FS-RS
curve) and `MU95` (log10 p). A missing sd means the paper prints none.
"""

from collections.abc import Iterator
from dataclasses import dataclass

SOURCE = "Lee et al. 2025, arXiv 2505.16252"
LLAMA, OLMO = "Llama-3.1-8B-Instruct", "OLMo-2-1124-7B-Instruct"


@dataclass(frozen=True)
class PublishedCell:
    """One printed value: `mean` with standard deviation `sd` over `n` random regions or seeds."""

    table: int
    model: str
    data: str
    unit: str
    ratio: float
    objective: str
    scenario: str
    metric: str
    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class PublishedDifference:
    """One printed |oracle - random| with its p-value (the paper's within-curve tests)."""

    table: int
    model: str
    data: str
    ratio: float
    objective: str
    metric: str
    mean: float
    sd: float | None
    p: float
    n: int


# (model, scenario, AUES, sd, MU95, sd, n); theta_o was fine-tuned in full on all the data here.
_TABLE_1 = (
    (LLAMA, "original", None, None, -20.37, None, 1),
    (LLAMA, "random", 0.529, 0.005, -14.87, 0.33, 3),
    (LLAMA, "activations", 0.522, None, -16.84, None, 1),
    (LLAMA, "memflex", 0.491, None, -15.97, None, 1),
    (LLAMA, "wagle", 0.525, None, -16.61, None, 1),
    (OLMO, "original", None, None, -21.10, None, 1),
    (OLMO, "random", 0.582, 0.001, -14.13, 0.22, 3),
    (OLMO, "activations", 0.542, None, -14.44, None, 1),
    (OLMO, "memflex", 0.508, None, -16.53, None, 1),
    (OLMO, "wagle", 0.517, None, -15.17, None, 1),
)

# (objective, metric, model, random, sd, oracle, sd, |difference|, sd, p): five seeds.
_TABLE_2 = (
    ("wga", "AUES", LLAMA, 0.586, 0.020, 0.593, 0.016, 0.018, 0.013, 0.61),
    ("wga", "MU95", LLAMA, -10.33, 1.73, -10.00, 0.42, 0.86, 1.02, 0.46),
    ("wga", "AUES", OLMO, 0.609, 0.020, 0.605, 0.011, 0.008, 0.007, 0.64),
    ("wga", "MU95", OLMO, -13.88, 0.58, -13.77, 0.45, 0.23, 0.20, 0.56),
    ("npo", "AUES", LLAMA, 0.625, 0.016, 0.619, 0.011, 0.011, 0.011, 0.71),
    ("npo", "MU95", LLAMA, -9.45, 1.91, -8.56, 1.39, 0.90, 0.66, 0.31),
    ("npo", "AUES", OLMO, 0.638, 0.015, 0.639, 0.017, 0.007, 0.004, 0.52),
    ("npo", "MU95", OLMO, -14.19, 0.47, -14.33, 0.58, 0.14, 0.12, 0.72),
    ("dpo", "AUES", LLAMA, 0.497, 0.013, 0.492, 0.012, 0.007, 0.008, 0.66),
    ("dpo", "MU95", LLAMA, -13.26, 1.06, -13.60, 0.72, 1.09, 1.06, 0.68),
    ("dpo", "AUES", OLMO, 0.561, 0.011, 0.568, 0.013, 0.010, 0.008, 0.36),
    ("dpo", "MU95", OLMO, -13.62, 0.31, -13.52, 0.53, 0.41, 0.17, 0.57),
    ("rmu", "AUES", LLAMA, 0.506, 0.030, 0.502, 0.017, 0.017, 0.010, 0.37),
    ("rmu", "MU95", LLAMA, -13.75, 0.91, -13.64, 0.63, 0.45, 0.24, 0.39),
    ("rmu", "AUES", OLMO, 0.437, 0.024, 0.439, 0.020, 0.004, 0.003, 0.62),
    ("rmu", "MU95", OLMO, -12.95, 0.69, -13.62, 1.32, 0.68, 0.79, 0.57),
)

# (table, unit, ratio, objective, scenario, AUES, sd, MU95, sd, n): Llama, three random regions.
_TABLES_3_TO_5 = (
    (3, "value vectors", 0.05, "npo", "random", 0.521, 0.004, -14.34, 0.48, 3),
    (3, "value vectors", 0.05, "npo", "wagle", 0.526, None, -16.82, None, 1),
    (4, "value vectors", 0.10, "rmu", "random", 0.493, 0.003, -18.95, 0.28, 3),
    (4, "value vectors", 0.10, "rmu", "wagle", 0.498, None, -19.15, None, 1),
    (5, "weights", 0.80, "npo", "random", 0.536, 0.001, -11.40, 0.02, 3),
    (5, "weights", 0.80, "npo", "wagle", 0.532, None, -13.54, None, 1),
)


def _cells() -> Iterator[PublishedCell]:
    vectors, tofu = "value vectors", "tofu"
    for model, scenario, aues, aues_sd, mu95, mu95_sd, n in _TABLE_1:
        where = (1, model, tofu, vectors, 0.1, "npo", scenario)
        if aues is not None:
            yield PublishedCell(*where, "AUES", aues, aues_sd, n)
        yield PublishedCell(*where, "MU95", mu95, mu95_sd, n)
    for objective, metric, model, random, random_sd, oracle, oracle_sd, *_ in _TABLE_2:
        for scenario, mean, sd in (("random", random, random_sd), ("oracle", oracle, oracle_sd)):
            where = (2, model, tofu, vectors, 0.1, objective, scenario)
            yield PublishedCell(*where, metric, mean, sd, 5)
    for table, unit, ratio, objective, scenario, aues, aues_sd, mu95, mu95_sd, n in _TABLES_3_TO_5:
        where = (table, LLAMA, tofu, unit, ratio, objective, scenario)
        yield PublishedCell(*where, "AUES", aues, aues_sd, n)
        yield PublishedCell(*where, "MU95", mu95, mu95_sd, n)
    # Table 6 (E.2) names no model; E.1: "All experiments in this appendix use LLaMA3.1-8B".
    for scenario, mean, sd in (("random", 0.473, 0.028), ("oracle", 0.482, 0.017)):
        where = (6, LLAMA, "lume", vectors, 0.1, "npo", scenario)
        yield PublishedCell(*where, "AUES", mean, sd, 3)


def _differences() -> Iterator[PublishedDifference]:
    for objective, metric, model, _, _, _, _, mean, sd, p in _TABLE_2:
        yield PublishedDifference(2, model, "tofu", 0.1, objective, metric, mean, sd, p, 5)
    yield PublishedDifference(6, LLAMA, "lume", 0.1, "npo", "AUES", 0.017, None, 0.44, 3)


CELLS: tuple[PublishedCell, ...] = tuple(_cells())
DIFFERENCES: tuple[PublishedDifference, ...] = tuple(_differences())


def cells_beside(
    objective: str, scenario: str, metric: str, ratio: float | None
) -> list[PublishedCell]:
    """Published cells of this objective, scenario, metric and ratio (any ratio when None).

    Cells of individual-weight regions (Table 5) never stand beside value-vector results.
    """
    return [
        cell
        for cell in CELLS
        if (cell.objective, cell.scenario, cell.metric) == (objective, scenario, metric)
        and cell.unit == "value vectors"
        and ratio in (None, cell.ratio)
    ]


def differences_beside(
    objective: str, metric: str, ratio: float | None
) -> list[PublishedDifference]:
    """Published oracle-random differences of this objective, metric and ratio."""
    return [
        cell
        for cell in DIFFERENCES
        if (cell.objective, cell.metric) == (objective, metric) and ratio in (None, cell.ratio)
    ]
