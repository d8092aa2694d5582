"""Calibration: what is simulated, how rates are counted, fitted shapes, the command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import ROOT

from lacuna.report import Margins
from lacuna.significance.calibrate.__main__ import chosen, main, numbers, parser
from lacuna.significance.calibrate.fitted import fit_facts, fitted, tokens
from lacuna.significance.calibrate.methods import Key, Plan, effects, estimates, outcomes
from lacuna.significance.calibrate.rates import rows, summary, table
from lacuna.significance.calibrate.run import calibrate
from lacuna.significance.calibrate.shapes import (
    LEE,
    MINI,
    PEOPLE,
    SHAPES,
    SKEW,
    Facts,
    correlated,
    gamma,
    item_strengths,
    levels,
    power,
    rising,
    simulate,
)

NONE = {(name, k): 0.0 for name in ("matched AUES", "AUES", "MU95") for k in (1, 2, 3)}


def test_a_simulated_study_has_its_people_in_all_seeds_and_starts_from_one_model() -> None:
    study = simulate(MINI, 3, 2, np.random.default_rng(0))
    assert len(study.seeds) == 3
    assert study.mu.shape == study.fq.shape == (3, 3, 21)
    assert len({arms.forget.people for arms in study.seeds}) == 1
    for arms in study.seeds:
        assert arms.forget.sum_KPA.shape == (3, 8, 21)
        np.testing.assert_allclose(arms.forget.sum_KPA[..., 0], 6)  # everything known at alpha = 0
        assert (np.diff(arms.forget.sum_KPA) <= 1e-12).all()
        tokens = arms.retain.sum_KPA * MINI.retain.tokens
        np.testing.assert_allclose(tokens, np.round(tokens), atol=1e-9)
    assert np.ptp(study.mu[..., 0]) == np.ptp(study.fq[..., 0]) == 0


@pytest.mark.parametrize(
    ("name", "end_fs", "end_rs", "aues", "sd", "correlation"),
    [
        ("mini", 0.96, 0.98, 0.96, 0.034, 0.1),
        ("skew", 0.97, 0.98, 0.97, 0.055, 0.0),
        ("lee", 0.97, 0.25, 0.70, 0.0145, 0.75),
        ("people", 0.85, 0.70, 0.80, 0.034, 0.2),
    ],
)
def test_shapes_look_like_what_they_stand_for(
    name: str, end_fs: float, end_rs: float, aues: float, sd: float, correlation: float
) -> None:
    fs, rs, areas, spread = [], [], [], []
    for number in range(60):
        study = simulate(SHAPES[name], 6, 1, np.random.default_rng([1, number]))
        known = estimates(study, 1, influences=False)["AUES"]
        areas += known.values.tolist()
        spread.append(known.differences.var(ddof=1))
        for arms in study.seeds:
            fs.append(1 - arms.forget.means(arms.forget.everybody())[:, 0, -1])
            rs.append(arms.retain.means(arms.retain.everybody())[:, 0, -1])
    assert np.mean(fs) == pytest.approx(end_fs, abs=0.01)
    assert np.mean(rs) == pytest.approx(end_rs, abs=0.02)
    assert np.mean(areas) == pytest.approx(aues, abs=0.02)
    assert np.mean(spread) ** 0.5 == pytest.approx(sd, rel=0.25)
    assert np.corrcoef(np.transpose(areas))[0, 1] == pytest.approx(correlation, abs=0.15)


def test_only_shapes_whose_arms_are_drawn_alike_have_no_difference_by_construction() -> None:
    assert MINI.exchangeable and LEE.exchangeable
    assert not SKEW.exchangeable and not PEOPLE.exchangeable


def test_levels_have_their_mean_spread_and_correlation() -> None:
    facts = replace(MINI.forget, level=0.2, sd_true=0.02, sd_random=0.08, shared=0.6)
    found = levels(facts, 40_000, 3, np.random.default_rng(0))
    np.testing.assert_allclose(found.mean(axis=0), 0.2, rtol=0.01)
    np.testing.assert_allclose(found.std(axis=0), [0.02, 0.08, 0.08], rtol=0.03)
    z = correlated(0.6, 40_000, 2, np.random.default_rng(1))
    assert np.corrcoef(z.T)[0, 1] == pytest.approx(0.6, abs=0.01)
    one = gamma(0.5, (50_000,), np.random.default_rng(2))
    assert (one.mean(), one.std()) == pytest.approx((1, 0.5), abs=0.01)
    assert (gamma(0.0, (3,), np.random.default_rng(3)) == 1).all()


def test_curves_begin_at_zero_and_end_at_one() -> None:
    for curve in (rising(1.0), rising(2.0), power(1.0), power(6.0)):
        assert (curve[0], curve[-1]) == (0.0, 1.0)
        assert (np.diff(curve) >= 0).all()
    assert rising(1.0)[10] == 0.5


def test_every_method_speaks_about_every_number_of_seeds_and_regions() -> None:
    plan = Plan((3, 4), (1, 2), bootstrap_rounds=40, published_rounds=20)
    study = simulate(MINI, 4, 2, np.random.default_rng(0))
    found = outcomes(study, plan, NONE, np.random.default_rng(1))
    methods = {(key.estimand, key.method) for key in found}
    both = {"two-way t", "Student t", "sign-flip", "block randomisation"}
    published = {f"published permutation, {what}" for what in ("one seed", "mean p", "any seed")}
    split = {f"published pool split, {what}" for what in ("one seed", "mean p", "any seed")}
    wanted = {("matched AUES", name) for name in both}
    wanted |= {("AUES", name) for name in both | published | {"bootstrap"}}
    wanted |= {("MU95", name) for name in both - {"two-way t"} | split}
    assert methods == wanted
    for estimand, method in methods - {(e, m) for e, m in methods if "published" in m}:
        for n in (3, 4):
            for k in (1, 2):
                assert Key(estimand, method, k, n) in found
    assert found[Key("AUES", "published permutation, mean p", 1, 4)].shape == (3,)
    assert found[Key("AUES", "bootstrap", 2, 3)].shape == (2,)


def test_tests_see_the_effect_that_is_added_to_every_seed() -> None:
    plan = Plan((6,), (1, 3), bootstrap_rounds=20, published_rounds=200)
    study = simulate(MINI, 6, 3, np.random.default_rng(3))
    found = outcomes(study, plan, NONE, np.random.default_rng(1))
    # Matched depth differs by .001 between seeds, so .005 in each is as clear as can be.
    block = found[Key("matched AUES", "block randomisation", 3, 6)]
    assert block[0] > 0.01 and block[1] == block[2] == pytest.approx(1 / 4096)
    flip = found[Key("matched AUES", "sign-flip", 1, 6)]
    assert flip[2] == pytest.approx(1 / 32)
    # The true difference is taken off: at a truth of .005 an effect of .005 is what is there.
    moved = outcomes(
        study,
        plan,
        {place: 0.005 if place[0] == "matched AUES" else 0.0 for place in NONE},
        np.random.default_rng(1),
    )
    assert moved[Key("matched AUES", "block randomisation", 3, 6)][1] == pytest.approx(block[0])


def test_rates_are_counted_as_they_say() -> None:
    found = {
        Key("AUES", "two-way t", 1, 4): np.array(
            [[-0.01, 0.01], [0.001, 0.05], [-0.05, -0.001], [0.0, 0.0], [-0.03, 0.03]]
        ),
        Key("AUES", "sign-flip", 1, 4): np.array([[0.05, 0.02, 0.01], [0.5, 0.06, 0.05]]),
    }
    interval, test = rows("toy", found, {("AUES", 1): 0.0})
    # Covers 0 in the first, fourth and fifth.
    assert interval.coverage is not None and interval.coverage.share == 0.6
    assert interval.coverage.se == pytest.approx((0.6 * 0.4 / 5) ** 0.5)
    assert interval.size.share == pytest.approx(0.4)
    # Moved by .02 they lie above 0 in the first, second and fourth, below it in none.
    assert [(p.effect, p.share) for p in interval.power] == [(0.02, 0.6), (0.04, 0.8)]
    # With a true .02 the upper end lies below it in the third only; with none, in 1, 3 and 4.
    assert interval.false_holds is not None and interval.false_holds.share == 0.2
    assert interval.holds is not None and interval.holds.share == pytest.approx(0.6)
    assert (test.coverage, test.false_holds) == (None, None)
    assert test.size.share == 0.5
    assert [p.share for p in test.power] == [0.5, 1.0]
    # The same intervals around a truth of .01: the first one, which ends there, covers it.
    shifted = rows("toy", found, {("AUES", 1): 0.01})[0]
    assert shifted.coverage is not None and shifted.coverage.share == pytest.approx(0.6)
    text = table([interval, test])
    assert text.splitlines()[0].split()[:3] == ["shape", "n", "k"]
    assert "0.600" in text.splitlines()[1]


def test_rows_are_the_same_whatever_the_number_of_processes() -> None:
    plan = Plan((3,), (1,), bootstrap_rounds=20, published_rounds=20)
    small = replace(SKEW, name="small")
    one, two = (
        list(calibrate([small], plan, studies=30, seed=5, processes=count)) for count in (1, 2)
    )
    assert one == two
    other = list(calibrate([small], plan, studies=30, seed=6, processes=1))
    assert other != two


def test_the_deciding_interval_covers_and_students_t_does_not_where_place_matters() -> None:
    covered = {"two-way t": 0, "Student t": 0}
    for number in range(150):
        study = simulate(PEOPLE, 8, 1, np.random.default_rng([9, number]))
        plan = Plan((8,), (1,), bootstrap_rounds=2, published_rounds=1)
        found = outcomes(study, plan, NONE, np.random.default_rng(0))
        for method in covered:
            low, high = found[Key("matched AUES", method, 1, 8)]
            covered[method] += low <= 0 <= high
    assert covered["two-way t"] / 150 > 0.9
    assert covered["Student t"] / 150 < 0.88


def results(shape: Any, seeds: int, file: Path, objective: str = "npo") -> None:
    """A results.json whose trials are simulated from `shape`."""
    generator = np.random.default_rng(11)
    es = {
        split: item_strengths(getattr(shape, split), split == "forget", seeds, 2, generator)
        for split in ("forget", "retain")
    }
    stages: list[dict[str, Any]] = [{"kind": "base", "tags": {}, "summary": {"retain_es": 0.0}}]
    for seed in range(seeds):
        for arm, scenario in enumerate(("oracle", "random")):
            trial: dict[str, Any] = {
                "seed": seed,
                "scenario": scenario,
                "objective": objective,
                "purpose": "test",
            }
            trial |= {"ratio": 0.1, "curve": {"mu": [0.6] * 21, "fq": None}}
            for split, found in es.items():
                people, items = found.shape[2:4]
                table = found[seed, arm].reshape(people * items, -1).T
                trial[f"es_{split}"] = table.tolist()
                trial[f"people_{split}"] = [f"p{i // items}" for i in range(people * items)]
            stages.append({"kind": "trial", "tags": {}, "summary": trial})
    file.write_text(json.dumps({"study": "toy", "stages": stages}))


def test_a_fitted_shape_is_like_the_one_that_made_the_study(tmp_path: Path) -> None:
    facts = Facts(
        40, 8, 6, rising(1.0), 0.2, 0.03, 0.06, 0.5, person=0.4, person_in_trial=0.3, place=0.1
    )
    results(replace(MINI, forget=facts), 30, tmp_path / "results.json")
    (shape,) = fitted(tmp_path)
    assert shape.name == "npo at 0.1"
    found = shape.forget
    assert (found.people, found.items, found.tokens) == (40, 8, 6)
    np.testing.assert_allclose(found.curve, facts.curve, atol=0.03)
    assert found.level == pytest.approx(0.2, abs=0.03)
    assert found.sd_true == pytest.approx(0.03, abs=0.02)
    assert found.sd_random == pytest.approx(0.06, abs=0.02)
    assert found.person == pytest.approx(0.4, abs=0.15)
    assert found.person_in_trial == pytest.approx(0.3, abs=0.1)
    assert found.place == pytest.approx(0.1, abs=0.03)
    assert found.shared == pytest.approx(0.5, abs=0.3)
    kept = shape.retain
    assert kept.level == pytest.approx(0.02, abs=0.006)
    assert kept.place < 0.004
    assert simulate(shape, 4, 3, np.random.default_rng(0)).mu.shape == (4, 4, 21)


def test_a_place_that_does_not_matter_is_fitted_as_none() -> None:
    facts = Facts(30, 6, 12, power(1.0), 0.3, 0.03, 0.03)
    es = item_strengths(facts, True, 20, 2, np.random.default_rng(5))
    table = es.reshape(20, 2, -1, 21).transpose(0, 1, 3, 2)
    found = fit_facts(table, [f"p{i // 6}" for i in range(180)], forgets=True)
    assert found.place < 0.02
    assert tokens(table) == 12


def test_what_is_no_finished_study_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    cases = [
        ("[]", "not the results of a study"),
        ('{"stages": []}', "no objective has two seeds with oracle and random trials"),
        ("{", "not valid JSON"),
    ]
    for text, words in cases:
        file.write_text(text)
        assert main(["--fit", str(tmp_path)]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1
    assert main(["--fit", str(tmp_path / "none")]) == 2
    assert "no finished study in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--shapes", "mini,skewed"], "unknown shape 'skewed': did you mean 'skew'?"),
        (["--studies", "0"], "--studies 0: at least 1"),
        (["--seeds", "4,one"], "--seeds 4,one: give whole numbers from 2 to 24"),
        (["--seeds", "1"], "from 2 to 24"),
        (["--regions", "9"], "--regions 9: give whole numbers from 1 to 8"),
        (["--processes", "0"], "--processes 0: at least 1"),
    ],
)
def test_bad_options_are_one_line(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_options_name_shapes_and_numbers(tmp_path: Path) -> None:
    assert [shape.name for shape in chosen(parser().parse_args([]))] == list(SHAPES)
    named = parser().parse_args(["--shapes", "lee,mini,lee"])
    assert [shape.name for shape in chosen(named)] == ["lee", "mini"]
    assert numbers("--seeds", "8,4,4", 2, 24) == (4, 8)
    results(MINI, 3, tmp_path / "results.json", objective="wga")
    fit = parser().parse_args(["--fit", str(tmp_path)])
    assert [shape.name for shape in chosen(fit)] == ["wga at 0.1"]
    assert effects("MU95").tolist() == [0.0, 1.0, 2.0]


def test_the_command_prints_a_table_and_writes_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.json"
    arguments = ["--studies", "20", "--shapes", "mini", "--seeds", "4", "--regions", "1"]
    arguments += ["--processes", "1"]
    assert main([*arguments, "--out", str(file)]) == 0
    shown = capsys.readouterr().out
    found = json.loads(file.read_text())
    assert {row["shape"] for row in found} == {"mini"}
    deciding = next(
        r for r in found if (r["estimand"], r["method"]) == ("matched AUES", "two-way t")
    )
    assert deciding["studies"] == 20
    assert 0.5 < deciding["coverage"]["share"] <= 1
    assert [p["effect"] for p in deciding["power"]] == [0.005, 0.01]
    assert "two-way t of matched AUES: coverage" in shown
    assert len(shown.splitlines()) == len(found) + 1 + 3
    assert summary([]) == []


def test_the_recorded_calibration_is_what_the_deciding_interval_must_show() -> None:
    rows = json.loads((ROOT / "docs" / "calibration.json").read_text())
    deciding = [r for r in rows if (r["estimand"], r["method"]) == ("matched AUES", "two-way t")]
    assert {(r["shape"], r["seeds"]) for r in deciding} == {
        (s, n) for s in SHAPES for n in (4, 6, 8)
    }
    for row in deciding:
        assert row["studies"] >= 2000 and row["margin"] == Margins().matched
        assert 0.93 <= row["coverage"]["share"] <= 0.995
        assert row["size"]["share"] <= 0.07 and row["false_holds"]["share"] <= 0.035
