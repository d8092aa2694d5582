"""Doses of location: slopes by hand, the claim from hand-made trials, figure and table."""

from pathlib import Path

import pytest
from support.reports import Record, failed_trial, made, rows_of, trial

from lacuna.errors import UserError
from lacuna.report import Results, judge, render
from lacuna.report.claims.rules import decide, sides
from lacuna.report.figures import panels
from lacuna.results import Claim
from lacuna.significance import paired, rises, slope_weights, t_interval

NAMES = ("random", "dose25", "dose50", "dose75", "oracle")


def dosed(scenario: str, seed: int, kept: float, logp: float, **more: object) -> Record:
    """FS rises to 1 in two equal steps; RS falls to `kept` along both."""
    found = trial(scenario, seed, **more)
    found["summary"]["curve"] |= {"fs": [0.0, 0.5, 1.0], "rs": [1.0, (1 + kept) / 2, kept]}
    found["summary"] |= {
        "es_forget": [[1.0, 1.0], [0.5, 0.5], [0.0, 0.0]],
        "es_retain": [[1.0, 1.0], [(1 + kept) / 2] * 2, [kept] * 2],
    }
    start = {"start_alpha": 0.5, "start_es": 0.31, "start_level": 0.3, "start_retain_es": 0.9}
    attack = {**found["summary"]["attacks"][0], **start, "others_logp_after": logp}
    found["summary"]["attacks"].append(attack)
    return found


RISE = (0.04, 0.05, 0.06)
"""By how much RS at the common depth rises from dose 0 to dose 1, by seed."""


def stages() -> list[Record]:
    """RS at the depth .8 + rise x dose; a fourth of a nat less comes back per dose and seed."""
    return [
        dosed(name, seed, 0.8 + rise * dose, -2.0 - 0.25 * seed * dose)
        for seed, rise in enumerate(RISE, 1)
        for name, dose in zip(NAMES, (0, 0.25, 0.5, 0.75, 1), strict=True)
    ]


def results(found: list[Record]) -> Results:
    return Results("dose", {}, found)


def claim(found: list[Record]) -> Claim:
    (one,) = (claim for claim in judge(results(found)) if claim["family"] == "dose")
    return one


def test_slope_weights_are_those_of_least_squares() -> None:
    assert slope_weights([0, 0.25, 0.5, 0.75, 1]).tolist() == [-0.8, -0.4, 0, 0.4, 0.8]
    assert slope_weights([1.0, 2.0, 6.0]) @ [1, 0, 2] == pytest.approx(4 / 14)
    with pytest.raises(UserError, match="all 3 are 0.5"):
        slope_weights([0.5] * 3)


def test_the_table_has_a_slope_of_every_seed_and_their_mean() -> None:
    found = {(row["measure"], row["attack"]): row for row in made("dose", results(stages()))}
    depth = found["depth", None]
    assert depth["slopes"] == pytest.approx(RISE) and depth["seeds"] == [1, 2, 3]
    assert (depth["slope"], depth["n"]) == (pytest.approx(0.05), 3)
    assert depth["doses"] == [0, 0.25, 0.5, 0.75, 1]
    assert depth["means"] == pytest.approx([0.8 + 0.05 * dose for dose in depth["doses"]])
    # RS falls along a line, so that its mean over FS is halfway
    assert found["matched", None]["slopes"] == pytest.approx([rise / 2 for rise in RISE])
    assert found["matched", None]["interval_method"] == "two-way t"
    interval = [found["matched", None][end] for end in ("slope_lo", "slope_hi")]
    assert interval == pytest.approx(t_interval([rise / 2 for rise in RISE]))
    relearnt = found["logp", "relearn"]
    assert relearnt["slopes"] == pytest.approx([-0.25, -0.5, -0.75])
    assert (relearnt["attack_lr"], relearnt["start"]) == (3e-4, 0.3)
    assert len(found) == 3, "an attack from the model's own depth is not read"


def test_only_the_first_random_region_is_dose_0_and_two_doses_are_none() -> None:
    more = [dosed("random", seed, 0.1, -9.0, region=2) for seed in (1, 2, 3)]
    assert made("dose", results([*stages(), *more])) == made("dose", results(stages()))
    ends = [s for s in stages() if s["tags"]["scenario"] in ("oracle", "random")]
    assert made("dose", results(ends)) == [] and not panels_of(ends)


def panels_of(found: list[Record]) -> list[str]:
    return [one.title for one in panels(results(found)) if "dose" in one.title]


def test_the_claim_is_secondary_and_judged_on_the_slope() -> None:
    one = claim(stages())
    assert one["verdict"] == "holds" and one["role"] == "secondary" and one["margin"] == 0.005
    assert one["effect"] == pytest.approx(0.025) and one["n"] == 3 and len(one["keys"]) == 15
    assert "by more than the margin" in one["reason"]
    assert panels_of(stages()) == ["npo, ratio 0.1: dose of location"]


def test_the_page_shows_table_figure_and_claim(tmp_path: Path) -> None:
    render(results(stages()), tmp_path)
    page = (tmp_path / "report" / "index.html").read_text()
    assert '<h2 id="dose">' in page and "<strong>npo, ratio 0.1: dose of location</strong>" in page
    assert '<td class="holds" title="npo at 0.1">1</td>' in page
    assert [row["measure"] for row in rows_of(tmp_path, "dose")] == ["matched", "depth", "logp"]


def test_a_failed_dose_leaves_the_claim_open_and_is_named() -> None:
    found = [s for s in stages() if (s["tags"]["scenario"], s["tags"]["seed"]) != ("dose50", "2")]
    one = claim([*found, failed_trial("dose50", 2)])
    assert one["verdict"] == "undetermined" and "seed 2: loss is not finite" in one["reason"]
    (row, *_) = made("dose", results([*found, failed_trial("dose50", 2)]))
    assert (row["n"], row["slope"], row["slopes"][1]) == (2, None, None)
    assert panels_of([*found, failed_trial("dose50", 2)]) == []


@pytest.mark.parametrize(
    ("low", "high", "verdict", "text"),
    [
        (0.006, 0.02, "holds", "it rises by more than the margin"),
        (0.001, 0.02, "holds", "perhaps by less than the margin"),
        (0.001, 0.004, "fails", "a rise by 0.005 or more is excluded"),
        (-0.02, 0.004, "fails", "a rise by 0.005 or more is excluded"),
        (-0.01, 0.02, "undetermined", "neither a rise nor none"),
    ],
)
def test_a_rise_is_judged_one_sided(low: float, high: float, verdict: str, text: str) -> None:
    found = rises(low, high, 0.005)
    assert found.verdict == verdict and text in found.reason


def test_its_p_values_agree_with_its_interval() -> None:
    record = paired([0.010, 0.012, 0.011], [0.0] * 3, [1, 2, 3])
    holds, fails = sides(record, "rises", 0.005)
    assert decide(record, "rises", 0.005).verdict == "holds"
    assert holds is not None and fails is not None and holds < 0.025 < 0.975 < fails
