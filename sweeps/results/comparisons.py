"""Which scenarios of a finished grid are compared, and each comparison as a task of its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from lacuna.report.cells import ALIKE, BASELINE, ORACLE, UNIFORM
from lacuna.results import Result, ScenarioComparison, ScenarioPair
from lacuna.seeds import numpy_generator
from lacuna.significance import METRICS, compare
from lacuna.significance.compare import Metric, Trial, first_and_others, on_seeds_of
from sweeps.config.schema import SignificanceConfig
from sweeps.plan.stages import Cell
from sweeps.stage import Stage


@dataclass(frozen=True)
class ComparisonJob:
    """What one comparison needs: both scenarios' trials and a seed of its own."""

    a: list[Trial]
    b: list[Trial]
    metric: Metric
    rounds: int
    seed: int
    pair: ScenarioPair


def comparison_jobs(
    settings: SignificanceConfig, tests: Sequence[Stage], results: Mapping[str, Result]
) -> list[ComparisonJob]:
    """Every scenario with the baseline, in every metric, and the baseline's regions among them.

    The true region is compared with one drawn anywhere, too, where there are both.
    """
    return [
        ComparisonJob(a, b, metric, settings.permutations, settings.seed, pair)
        for pair, a, b in _pairs(tests, results)
        for metric in METRICS
    ]


def _pairs(
    tests: Sequence[Stage], results: Mapping[str, Result]
) -> Iterator[tuple[ScenarioPair, list[Trial], list[Trial]]]:
    found: dict[Cell, list[Trial]] = {}
    for stage in tests:
        found.setdefault(Cell.of(stage), []).append(_test_result(results[stage.key]))
    for cell, own in found.items():
        if cell.scenario == BASELINE:
            first, others = first_and_others(own)
            if others:
                yield _pair(cell, ALIKE, BASELINE), first, others
            continue
        for name in (BASELINE, UNIFORM) if cell.scenario == ORACLE else (BASELINE,):
            rivals = found.get(cell._replace(scenario=name))
            if rivals is not None:
                yield _pair(cell, cell.scenario, name), own, on_seeds_of(own, rivals)


def _pair(cell: Cell, a: str, b: str) -> ScenarioPair:
    return {"ratio": cell.ratio, "objective": cell.objective, "scenario_a": a, "scenario_b": b}


def compare_scenarios(job: ComparisonJob) -> ScenarioComparison:
    """One comparison; in a Ray task where Ray runs."""
    generator = numpy_generator(job.seed, job.metric, *job.pair.values())
    record = compare(job.a, job.b, job.metric, generator=generator, rounds=job.rounds)
    return {**record, **job.pair}


def _test_result(result: Result) -> Trial:
    if "failed" in result:
        return result
    assert "purpose" in result and result["purpose"] == "test", "not a test trial"
    return result
