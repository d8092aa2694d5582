"""The verdict's forest plot: a row a primary claim, coloured by its outcome, with the A/A rows."""

import re

import pytest

from lacuna.report import Margins, Results, judge
from lacuna.report.cells import ALIKE
from lacuna.report.claims.places import shortened
from lacuna.report.figure import Palette
from lacuna.report.figures.effects import Effects
from lacuna.report.svg import Effect, forest_chart, in_figures
from lacuna.significance import paired

SPREAD = [-0.001, 0.0, 0.001, 0.0]


def compared(objective: str, shift: float, rival: str = "oracle") -> dict[str, object]:
    place = {"ratio": 0.1, "objective": objective, "scenario_a": rival, "scenario_b": "random"}
    values = [shift + step for step in SPREAD]
    return paired(values, [0.0] * 4, range(4)) | place | {"metric": "matched"}


def trial(objective: str, scenario: str) -> dict[str, object]:
    tags = {"objective": objective, "scenario": scenario, "seed": "0", "ratio": "0.1"}
    key = f"{objective}{scenario}".ljust(64, "0")
    tags["purpose"] = "test"
    return {"key": key, "kind": "trial", "label": "", "tags": tags, "failed": "left out"}


def test_rows_are_the_primary_claims_and_what_cannot_differ() -> None:
    stages = [trial(name, place) for name in ("dpo", "npo") for place in ("oracle", "random")]
    comparisons = [compared("npo", 0.0), compared("dpo", 0.05), compared("npo", 0.0, ALIKE)]
    results = Results("x", {}, stages, comparisons, margins=Margins())
    (panel,) = Effects.panels(results, Palette.over([]))
    verdicts = {c["about"]: c["verdict"] for c in judge(results) if c["family"] == "region-matched"}
    assert verdicts == {"npo at 0.1": "holds", "dpo at 0.1": "fails"}
    drawn = re.findall(
        r'class="(holds|fails|alike)"|<text [^>]*text-anchor="(?:start|end)"[^>]*>([^<]*)',
        panel.chart,
    )
    words = [style or name for style, name in drawn]
    assert words[:3] == ["fails", "dpo (n=4)", "+0.0500 [0.0487, 0.0513]"]
    assert words[3:5] == ["holds", "npo (n=4)"]
    assert words[6:8] == ["alike", "npo, A/A (n=4)"]
    assert [style for _, style in panel.legend] == ["holds", "fails", "alike"]


def test_a_study_without_claims_has_no_forest() -> None:
    assert list(Effects.panels(Results("x", {}, []), Palette.over([]))) == []


def test_a_difference_that_was_not_taken_has_a_row_and_no_mark() -> None:
    rows = [
        Effect("one", "holds", 0.1, [0.0, 0.2]),
        Effect("two", "undetermined", None, None, "1 of 6 seeds"),
    ]
    chart = forest_chart("t", "x", rows, 0.05)
    assert chart.count("<circle") == 1 and "no value: 1 of 6 seeds</text>" in chart


def test_a_name_and_its_figures_never_overlap() -> None:
    short, long = (Effect(name, "holds", 0.1, [0.0, 0.2]) for name in ("npo", "x" * 60))
    assert (short.lines, long.lines) == (1, 2)
    chart = forest_chart("t", "x", [long, short], 0.05)
    places = re.findall(r'y="([\d.]+)" text-anchor="(start|end)"', chart)
    (name, _), (figures, _), (next_name, _), (next_figures, _) = [
        place for place in places if place[1] in ("start", "end")
    ]
    assert float(name) < float(figures) < float(next_name) == float(next_figures)


def test_the_margin_and_zero_lie_where_the_axis_has_them() -> None:
    chart = forest_chart("t", "x", [Effect("one", "holds", 0.0, [-0.1, 0.1])], 0.1)
    left, width = map(float, re.search(r'<rect x="([\d.]+)" width="([\d.]+)"', chart).groups())
    zero = float(re.search(r'<line x1="([\d.]+)"', chart)[1])
    assert zero == pytest.approx(left + width / 2, abs=0.11)
    low, high = map(
        float, re.search(r'x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)" [^>]*interval', chart).groups()
    )
    assert (low, high) == pytest.approx((left, left + width), abs=0.11)


@pytest.mark.parametrize(
    ("value", "interval", "words"),
    [
        (0.00705, [0.0042, 0.0099], "+0.0070 [0.0042, 0.0099]"),
        (-0.121, [-0.22, -0.019], "-0.12 [-0.22, -0.02]"),
        (0.5, None, "+0.5"),
        (0.5, [0.5, 0.5], "+0.5"),
        (12.0, [-20.0, 44.0], "+12 [-20, 44]"),
    ],
)  # fmt: skip
def test_figures_end_where_the_interval_begins_to_know(value, interval, words) -> None:  # noqa: ANN001
    assert in_figures(value, interval) == words


@pytest.mark.parametrize(
    ("names", "short", "shared"),
    [
        (["npo at 0.1", "wga at 0.1"], ["npo", "wga"], "at 0.1"),
        (["npo at 0.1, int8", "a at 0.1, int8"], ["npo", "a"], "at 0.1, int8"),
        (["npo at 0.1", "npo at 0.2"], ["npo at 0.1", "npo at 0.2"], ""),
        (["snip at 0.1 region", "npo at 0.1 change"], ["snip region", "npo change"], "at 0.1"),
        (["npo at 0.1"], ["npo at 0.1"], ""),
        (["x y", "x y"], ["x", "x"], "y"),
        ([], [], ""),
    ],
)  # fmt: skip
def test_what_all_names_share_is_said_once(names, short, shared) -> None:  # noqa: ANN001
    assert shortened(names) == (short, shared)
