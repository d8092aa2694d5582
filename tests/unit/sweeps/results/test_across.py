"""`lacuna across`: effects of several finished studies, and their slope by seed, worked by hand."""

from pathlib import Path
from typing import Any

import pytest
from support.reports import Record, stage, trial

from lacuna.artifacts import read_json, write_json
from lacuna.errors import UserError
from lacuna.model import MiniConfig, mini_layout
from lacuna.report import Results
from lacuna.report.cells import Spread
from lacuna.significance import paired, t_interval
from sweeps.cli import main
from sweeps.results.across import _grows, across, write
from sweeps.results.rebuild import keep

CLAIM = "region-matched: npo at 0.1"


def causal(seed: int, others: float) -> Record:
    report = {
        "injected": {"0": 1.0}, "own": [0.0], "others": [others], "joint": {}, "perturbed": [1.0],
        "neutral": {}, "people": {}, "failures": [], "passed": True, "label": "localized",
    }  # fmt: skip
    return stage("injected", {"seed": seed, "ratio": 0.1}, {"seed": seed, "causal": report})


def finish(
    folder: Path, rate: Any, effects: dict[int, float], others: float | None = None, **more: Any
) -> Path:
    """A finished study whose oracle is better by `effects` in AUES to equal depth."""
    arms = ("oracle", "random")
    stages = [trial(name, seed) for seed in effects for name in arms]
    if others is not None:
        # a tuning seed's model has no part in the mean
        stages += [causal(seed, others) for seed in effects] + [causal(0, 0.0)]
    record = paired(list(effects.values()), [0.0] * len(effects), list(effects))
    place = {"ratio": 0.1, "objective": "npo", "scenario_a": "oracle", "scenario_b": "random"}
    config = {
        "seeds": list(effects), "masked": {"rate": rate}, "model": {"dtype": "float32"}, **more,
    }  # fmt: skip
    found = Results(folder.name, config, stages, [{**record, **place, "metric": "matched"}])
    keep(found, folder)
    write_json(folder / "manifest.json", {"preflight": {}})
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Seeds 1 to 3 share all studies; effects of the first rise by .1, .2 and .3 per unit of x."""
    return [
        finish(tmp_path / "half", 0.5, {1: 0.05, 2: 0.10, 3: 0.15, 5: 9.0}, 0.9),
        finish(tmp_path / "none", 0, {1: 0.0, 2: 0.0, 3: 0.0}, 0.5),
        finish(tmp_path / "fifth", 0.2, {1: 0.02, 2: 0.04, 3: 0.06, 4: 0.0}, 0.7),
    ]


def test_a_slope_is_taken_within_the_seeds_that_all_studies_share(folders: list[Path]) -> None:
    made = across(folders, "masked.rate", "region-matched")
    rows = [row for row in made.rows if row["claim"] == CLAIM]
    assert [(row["study"], row["x"]) for row in rows] == [
        ("none", 0),
        ("fifth", 0.2),
        ("half", 0.5),
    ]
    assert [row["effect"] for row in rows] == pytest.approx([0.0, 0.03, 9.3 / 4])
    assert [row["n"] for row in rows] == [3, 4, 4] and rows[0]["role"] == "primary"
    assert (rows[1]["lo"], rows[1]["hi"]) == pytest.approx(t_interval([0.02, 0.04, 0.06, 0.0]))
    for row in rows:
        assert row["slope"] == pytest.approx(0.2) and row["slope_seeds"] == [1, 2, 3]
        low, high = t_interval([0.1, 0.2, 0.3]) or (0, 0)
        assert (row["slope_lo"], row["slope_hi"]) == pytest.approx((low, high))
    assert {row["claim"].split(":")[0] for row in made.rows} == {"region-matched"}
    assert {row["claim"] for row in across(folders, "masked.rate").rows} > {CLAIM}


@pytest.mark.parametrize(
    ("family", "slopes", "verdict", "reason"),
    [
        ("region-matched", [0.10, 0.11, 0.12], "holds", "it rises"),
        ("region-matched", [0.001, 0.0, -0.001], "fails", "a rise by 0.005 or more is excluded"),
        ("region-matched", [0.1, 0.2, 0.3], "undetermined", "neither a rise nor none"),
        ("erasure-logp", [-1.0, -1.1, -1.2], "holds", "it rises"),
        ("erasure-logp", [1.0, 1.1, 1.2], "fails", "a rise by 0.1 or more is excluded"),
        ("region-matched", [0.1, 0.1], "undetermined", "n = 2: at least 3 seeds are needed"),
    ],
)
def test_whether_the_advantage_grows_is_judged_over_the_range_of_x(
    family: str, slopes: list[float], verdict: str, reason: str
) -> None:
    margin = {"region-matched": 0.005, "erasure-logp": 0.1}[family]
    claims: list[Any] = [{"family": family, "margin": one} for one in (margin / 2, margin)]
    found = _grows(claims, Spread.over(slopes), reach=0.5)
    assert found.verdict == verdict and reason in found.reason


def test_studies_are_set_against_what_their_causal_reports_say(folders: list[Path]) -> None:
    made = across(folders, "others_keep", "region-matched")
    assert [row["x"] for row in made.rows] == pytest.approx([0.5, 0.7, 0.9])
    # x - mean is -.2, 0, .2: (y3 - y1) / .4, for seed 1 .05 / .4
    assert made.rows[0]["slope"] == pytest.approx((0.05 + 0.10 + 0.15) / 3 / 0.4)


def test_studies_are_set_against_the_size_of_their_model(tmp_path: Path) -> None:
    shapes = [{"hidden": 16, "heads": 2, "layers": layers} for layers in (1, 2)]
    small, large = (
        finish(tmp_path / f"layers{n}", 0, {1: 0.1}, model={"mini": shape})
        for n, shape in enumerate(shapes)
    )
    sizes = [row["x"] for row in across([large, small], "parameters", "region-matched").rows]
    weights = mini_layout(MiniConfig(hidden=16, heads=2, layers=1)).weights
    assert sizes[0] == sum(a * (b[0] if b else 1) for a, *b in weights.values()) < sizes[1]
    write_json(small / "manifest.json", {"preflight": {"model": {"parameters": 7_000_000_000}}})
    assert across([large, small], "parameters", "region-matched").rows[1]["x"] == 7e9


def test_the_command_writes_a_table_in_three_forms_and_a_page(
    folders: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["across", *map(str, folders), "--by", "masked.rate", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"{CLAIM}: slope 0.2 [" in said and "grows: undetermined, neither a rise nor" in said
    rows = read_json(tmp_path / "out" / "across.json")["rows"]
    text = (tmp_path / "out" / "across.csv").read_text().splitlines()
    assert len(rows) == len(text) - 1 and rows[0]["claim"] == CLAIM
    assert f"| {CLAIM} | primary | none | 0 |" in (tmp_path / "out" / "across.md").read_text()
    page = (tmp_path / "out" / "across.html").read_text()
    assert page.count("<svg") == 1 and f"<strong>{CLAIM}</strong>" in page and "masked.rate" in page


def refusal(folders: list[Path], by: str = "masked.rate", family: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        across(folders, by, family)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_cannot_be_compared_is_one_line(folders: list[Path], tmp_path: Path) -> None:
    two = folders[:2]
    assert "1 folders: give at least 2 finished studies" in refusal(folders[:1])
    assert "each once" in refusal([folders[0], folders[0]])
    assert "none_here: no such folder" in refusal([*two, tmp_path / "none_here"])
    (tmp_path / "begun").mkdir()
    assert "begun holds no finished study" in refusal([*two, tmp_path / "begun"])
    assert "study half has no such key: did you mean 'rate'?" in refusal(two, "masked.rat")
    assert "float32 in study half is no number" in refusal(two, "model.dtype")
    same = finish(tmp_path / "same", 0.5, {1: 0.1})
    assert "--by masked.rate: 0.5 in all studies" in refusal([folders[0], same])
    assert "study same has no causal report" in refusal([folders[0], same], "others_keep")
    assert "unknown family of claims 'region'" in refusal(two, family="region")
    other = finish(tmp_path / "other", 0.1, {1: 0.1})
    record = read_json(other / "results.json")
    write_json(other / "results.json", {**record, "stages": []})
    assert "no claim is common to other, half" in refusal([folders[0], other])


def test_the_command_ends_with_status_2(folders: list[Path], capsys: Any) -> None:
    for words, text in (
        ([str(folders[0]), "nowhere", "--by", "x"], "nowhere: no such folder"),
        ([str(folders[0])], "Missing option '--by'"),
    ):
        assert main(["across", *words]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and text in said[0]


def test_nothing_is_drawn_where_a_study_has_no_interval(tmp_path: Path) -> None:
    pair = [finish(tmp_path / str(rate), rate, {1: float(rate)}) for rate in (1, 2)]
    made = across(pair, "masked.rate", "region-matched")
    assert (made.rows[0]["slope"], made.rows[0]["slope_lo"]) == (1.0, None)
    write(made, tmp_path / "out")
    assert "<svg" not in (tmp_path / "out" / "across.html").read_text()
