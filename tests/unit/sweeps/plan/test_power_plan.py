"""`plan=true power=MARGIN`: seeds and regions from a pilot's spread; what cannot be answered."""

from pathlib import Path

import pytest
from support.reports import Record, trial

from lacuna.artifacts import write_json
from lacuna.errors import UserError
from lacuna.significance import needed, spread_from_pilot
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner
from sweeps.plan.power import power_text

SMALL = ["study=smoke", "objectives=[npo]", "unlearn.lr=1e-2", "scenarios=[oracle,random]"]
ORACLE, RANDOM = (0.02, 0.03, 0.01, 0.04), ((0.02, 0.05), (0.05, 0.02), (0.04, 0.03), (0.01, 0.05))


def lost(scenario: str, seed: int, low: float, region: int = 1) -> Record:
    """RS falls by `low` at half of FS and stays: to equal depth 1 - 3/4 low, whatever the end."""
    found = trial(scenario, seed, **({"region": region} if region > 1 else {}))
    found["summary"]["curve"] |= {"fs": [0.0, 0.5, 1.0], "rs": [1.0, 1 - low, 1 - low]}
    return found


def pilot(folder: Path, regions: int = 2) -> Path:
    stages = [lost("oracle", seed, low) for seed, low in enumerate(ORACLE)]
    for seed, lows in enumerate(RANDOM):
        stages += [lost("random", seed, low, n) for n, low in enumerate(lows[:regions], start=1)]
    write_json(folder / "results.json", {"stages": stages})
    return folder


def asked(*words: str) -> str:
    return power_text(make_planner(configure([*SMALL, "plan=true", *words])))


@pytest.mark.parametrize("regions", [1, 2])
def test_seeds_follow_from_the_pilots_spread(tmp_path: Path, regions: int) -> None:
    said = asked("power=0.02", f"pilot={pilot(tmp_path, regions)}").splitlines()
    values = [[1 - 0.75 * low for low in (one, *rest[:regions])]
              for one, rest in zip(ORACLE, RANDOM, strict=True)]  # fmt: skip
    differences = [row[0] - sum(row[1:]) / regions for row in values]
    pairs = [row[1] - row[2] for row in values] if regions == 2 else None
    spread = spread_from_pilot(differences, regions, pairs)
    expected = {need.regions: max(3, need.seeds) for need in needed(spread, 0.02)}
    assert "a pilot of 4 seeds" in said[0] and "no better by 0.02" in said[0]
    assert said[1].split()[-8:] == [str(k) for k in range(1, 9)]
    assert said[2].startswith("npo at 0.1") and f"{spread.of_difference(1):.2g}" in said[2]
    assert [int(word) for word in said[2].split()[-8:]] == [expected[k] for k in range(1, 9)]
    assert said[3].split()[-8:] == said[2].split()[-8:]
    hours = [float(word) for word in said[4].split()[-8:]]
    best = min(range(8), key=lambda k: hours[k])
    assert f"{said[3].split()[-8:][best]} seeds with regions={best + 1}" in said[5]


def test_a_margin_out_of_reach_says_so(tmp_path: Path) -> None:
    assert asked("power=1e-4", f"pilot={pilot(tmp_path)}").endswith("ask for a wider margin")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["power=0.01"], "needs a pilot, and "),
        (["power=0.01", "objectives=[wga]", "pilot=PILOT"], "trials of wga at 0.1: at least 2"),
        (["power=0.01", "region.ratio=0.2", "pilot=PILOT"], "trials of npo at 0.2: at least 2"),
        (["power=0.01", "scenarios=[oracle,norm]"], "is of scenarios oracle and random"),
        (["power=nan"], "power=nan: must be a finite number"),
        (["power=-0.1"], "power=-0.1: must be 0 to"),
        (["power=0.1", "plan=false"], "are for planning: add plan=true"),
        (["margins.matched=nan"], "margins.matched=nan: must be a finite number"),
        (["margins.logp=-1"], "margins.logp=-1: must be 0 to"),
        (["margins.es=0"], "margins.es=0: a margin is a number above 0"),
        (["power=0"], "power=0: a margin is a number above 0"),
        (["regions=0"], "regions=0: must be 1 to"),
        (["regions=10"], "regions=10: 8 random regions of this size fit beside each other"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    tmp_path: Path, words: list[str], message: str
) -> None:
    given = [word.replace("PILOT", str(pilot(tmp_path / "pilot"))) for word in words]
    with pytest.raises(UserError) as caught:
        asked(f"artifacts={tmp_path / 'none'}", *given)
    assert message in str(caught.value) and "\n" not in str(caught.value)
