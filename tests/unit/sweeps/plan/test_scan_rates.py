"""`lacuna scan`: which stages it runs, what it proposes, what it refuses."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.studies import planned

from lacuna.artifacts import read_json
from lacuna.errors import UserError
from sweeps import scan as scanning
from sweeps.cli import main
from sweeps.plan.planner import Planner
from sweeps.plan.scan import Spread, Tried, scan
from sweeps.results.scan import proposals, recipe, write


def test_injections_differ_in_the_rate_alone_and_share_what_they_stand_on() -> None:
    planner = planned("search.seeds=[7]")
    found = scan(planner, "injected", Spread(3, 1e-3, 1e-1))
    assert [one.lr for one in found.tried] == [1e-3, 1e-2, 1e-1]
    assert len({one.stage.key for one in found.tried}) == 3
    assert {one.stage.inputs["retained"] for one in found.tried} == {found.before[-1].key}
    assert all(one.stage.param("seed", int) == 7 for one in found.tried)
    other = planned("search.seeds=[7]", "inject.train.lr=1e-2")
    assert found.tried[1].stage.key == other.stages.injected(7, planner.ratios[0]).key


def test_masks_are_scanned_under_their_own_rate() -> None:
    planner = planned(study="lacuna")
    found = scan(planner, "injected", Spread(2, 1e-3, 1e-1))
    other = planned("masked.inject.lr=1e-1", study="lacuna")
    key = other.stages.injected(0, planner.ratios[0]).key
    assert found.tried[1].stage.key == key
    made, proposed = proposals(planner.config, found.tried, results(found.tried, [0.2, 0.95]))
    assert [one.word for one in proposed] == ["masked.inject.lr=0.1"]


def test_objectives_are_scanned_in_a_region_and_in_all_parameters() -> None:
    planner = planned("objectives=[npo,dpo]", study="mini")
    found = scan(planner, "unlearned", Spread(4))
    places = {(one.cell.objective, one.cell.scenario) for one in found.tried if one.cell}
    assert places == {(o, s) for o in ("npo", "dpo") for s in ("random", "full")}
    assert len(found.tried) == 16
    rates = [one.lr for one in found.tried if one.cell and one.cell[1:] == ("npo", "random")]
    middle = (1e-2 * 2e-2 * 4e-2 * 8e-2) ** 0.25
    steps = [1 / 30, 30 ** (-1 / 3), 30 ** (1 / 3), 30]
    assert rates == pytest.approx([middle * step for step in steps], rel=5e-3)
    # the study's own search at such a rate finds the result
    (cell,) = {one.cell for one in found.tried if one.cell and one.cell[1:] == ("npo", "random")}
    (trial,) = planner.search({cell: {rates[0]: 0}})
    assert any(one.stage.key == trial.key for one in found.tried)


def results(tried: list[Tried], values: list[Any], before: float = 1.0) -> dict[str, Any]:
    """A result for each rate: the ES of the forget facts, or why it failed."""
    found: dict[str, Any] = {}
    for one, value in zip(tried, values, strict=True):
        if isinstance(value, str):
            found[one.stage.key] = {"failed": value}
        elif one.cell is None:
            found[one.stage.key] = {"forget_es": value, "retain_es": value}
        else:
            curve = {"fs": [1 - before, 1 - value], "rs": [1, 1]}
            found[one.stage.key] = {"fs_end": 1 - value, "rs_end": 1.0, "curve": curve}
    return found


def tried(kind: str, number: int) -> tuple[Planner, list[Tried]]:
    planner = planned("objectives=[npo]", "scenarios=[random]", study="mini")
    return planner, scan(planner, kind, Spread(number, 1e-4, 1e-1)).tried


def test_of_injections_that_recite_the_middle_one_of_those_that_keep_most_is_proposed() -> None:
    planner, asked = tried("injected", 6)
    given = results(asked, [0.1, 0.95, 1.0, 1.0, 1.0, "Diverged: loss is nan"])
    made, (one,) = proposals(planner.config, asked, given)
    assert one.word == f"inject.train.lr={asked[3].lr:g}"
    assert [row["fits"] for row in made.rows] == [False, True, True, True, True, False]
    assert made.rows[5]["failed"] == "Diverged: loss is nan" and made.rows[5]["forget_es"] is None


def test_unlearnings_inside_the_window_become_candidates_and_the_files_say_so(
    tmp_path: Path,
) -> None:
    planner, asked = tried("unlearned", 4)
    window = planner.config.search
    given = results(asked, [0.99, 1 - window.fs_low, 1 - window.fs_high, 0.0])
    made, found = proposals(planner.config, asked, given)
    assert [row["fits"] for row in made.rows] == [False, True, True, False]
    assert found[0].rates == [1e-3, 2.15e-3, 4.64e-3, 1e-2]
    said = write(made, found, tmp_path)
    assert said == ["npo, random: ++unlearn.lrs.region.npo=[0.001,0.00215,0.00464,0.01]"]
    again = planned(said[0].split(": ")[1], study="mini").config
    assert again.unlearn.lrs["region"]["npo"] == found[0].rates
    assert "region:\n      npo:\n      - 0.001\n" in (tmp_path / "recipe.yaml").read_text()
    assert len(read_json(tmp_path / "scan.json")["rows"]) == 4
    assert (tmp_path / "scan.html").read_text().count("<svg") == 1


def test_around_a_single_rate_that_fits_half_a_step_each_way_is_proposed() -> None:
    planner, asked = tried("unlearned", 4)
    fs = (planner.config.search.fs_low + planner.config.search.fs_high) / 2
    _, (one,) = proposals(planner.config, asked, results(asked, [1.0, 1 - fs, 0.0, 0.0]))
    assert one.rates == [3.16e-4, 6.81e-4, 1.47e-3, 3.16e-3]


@pytest.mark.parametrize(
    ("kind", "values", "before", "hint"),
    [
        ("injected", [0.1, 0.5], 1.0, "at most ES 0.50: more steps, or another range"),
        ("unlearned", [0.9, 0.8], 1.0, "at most FS 0.20: higher rates, or more steps"),
        ("unlearned", [0.0, 0.0], 1.0, "at least FS 1.00: lower rates"),
        ("unlearned", [0.9, 0.0], 1.0, "no rate between too weak and too strong"),
        ("unlearned", [0.1, 0.1], 0.3, "the injected model recites ES 0.30: scan --stage injected"),
        ("unlearned", ["it broke", "it broke"], 1.0, "no trial ended: see the failures"),
    ],
)
def test_where_no_rate_fits_it_says_where_to_look(
    kind: str, values: list[Any], before: float, hint: str
) -> None:
    planner, asked = tried(kind, 2)
    _, (one,) = proposals(planner.config, asked, results(asked, values, before))
    assert not one.rates and hint in one.hint
    assert f": {hint}" in recipe([one]) and "lrs:" not in recipe([one])


def test_the_command_runs_the_stages_and_says_what_it_proposes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Fake:
        """Knows the result of every stage."""

        counts: dict[str, dict[str, int]] = {}
        results: dict[str, Any] = {}

        def expect(self, stages: list[Any]) -> None:
            assert len(stages) == 3

        def run_tasks(self, stages: list[Any], phase: str) -> None:
            self.results |= {s.key: {"forget_es": 1.0, "retain_es": 0.9} for s in stages}

    monkeypatch.setattr(scanning, "open_engine", lambda config, tracker: nullcontext(Fake()))
    words = ["scan", "smoke", "engine=local", f"artifacts={tmp_path}", "--rates", "2"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "injection: inject.train.lr=" in said
    assert (tmp_path / "smoke-scan-injected" / "recipe.yaml").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stage", "injectd"], "unknown --stage 'injectd': did you mean 'injected'?"),
        (["--rates", "1"], "--rates 1: must be 2 to 64"),
        (["--rates", "100"], "--rates 100: must be 2 to 64"),
        (["--low", "0"], "--low 0.0: must be a finite rate above 0"),
        (["--high", "nan"], "--high nan: must be a finite rate above 0"),
        (["--low", "1", "--high", "1"], "--low 1 is not below --high 1"),
    ],
)
def test_what_cannot_be_scanned_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan", "smoke", "engine=local", f"artifacts={tmp_path}", *words]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and message in said[0] and not list(tmp_path.iterdir())


def test_an_adopted_checkpoint_has_no_injection_to_scan() -> None:
    planner = planned()
    adopted = replace(planner, config=replace(planner.config, checkpoint="somewhere"))
    with pytest.raises(UserError, match="is an injected model already"):
        scan(adopted, "injected", Spread())
