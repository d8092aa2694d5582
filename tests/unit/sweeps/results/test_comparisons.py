"""Which scenarios of a finished grid are compared with which."""

from sweeps.config.schema import SignificanceConfig
from sweeps.results.comparisons import comparison_jobs
from sweeps.stage import Stage


def stage(scenario: str, seed: int, region: int = 1) -> Stage:
    params = {"ratio": 0.1, "objective": "npo", "scenario": scenario, "region": region}
    tags = {"seed": str(seed), "region": str(region)}
    return Stage("trial", f"{scenario} {seed}", params | {"seed": seed}, {}, tags)


def pairs(*stages: Stage) -> dict[tuple[str, str], tuple[list[str], list[str]]]:
    """The labels on both sides of each pair; every trial failed, as only its place matters here."""
    results = {s.key: {"failed": "no", "label": s.label, "tags": dict(s.tags)} for s in stages}
    jobs = comparison_jobs(SignificanceConfig(), list(stages), results)
    found = {}
    for job in jobs:
        place = job.pair["scenario_a"], job.pair["scenario_b"]
        sides = [trial["label"] for trial in job.a], [trial["label"] for trial in job.b]
        assert found.setdefault(place, sides) == sides  # whatever the measure
    return found


def test_every_scenario_with_random_and_the_true_region_with_one_drawn_anywhere() -> None:
    grid = [stage(name, seed) for name in ("oracle", "random", "uniform") for seed in (1, 2)]
    assert pairs(*grid) == {
        ("oracle", "random"): (["oracle 1", "oracle 2"], ["random 1", "random 2"]),
        ("oracle", "uniform"): (["oracle 1", "oracle 2"], ["uniform 1", "uniform 2"]),
        ("uniform", "random"): (["uniform 1", "uniform 2"], ["random 1", "random 2"]),
    }


def test_a_scenario_of_fewer_seeds_meets_the_rivals_of_its_seeds() -> None:
    grid = [stage("full", 1), stage("random", 1), stage("random", 2)]
    assert pairs(*grid) == {("full", "random"): (["full 1"], ["random 1"])}


def test_random_regions_of_a_seed_meet_each_other() -> None:
    grid = [stage("random", seed, region) for seed in (1, 2) for region in (1, 2, 3)]
    assert pairs(*grid) == {
        ("random again", "random"): (["random 1", "random 2"], ["random 1"] * 2 + ["random 2"] * 2)
    }
