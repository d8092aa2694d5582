"""Tables of evidence: attacks, localization, inspections."""

from pathlib import Path

import pytest
from support.reports import (
    Record,
    control,
    failed_trial,
    key,
    localized,
    made,
    rows_of,
    stage,
    study,
    trial,
)

from lacuna.report import Results, render
from lacuna.report.tables import tables


def test_attack_table_gives_level_gain_and_controls() -> None:
    rows = made("attacks", study())
    oracle = next(r for r in rows if (r["scenario"], r["attack"]) == ("oracle", "relearn"))
    # after: -4, -5, -6; gain: +2, +1, 0
    assert (oracle["logp_after_mean"], oracle["logp_after_sd"]) == (-5.0, 1.0)
    assert (oracle["logp_gain_mean"], oracle["logp_gain_sd"]) == (1.0, 1.0)
    assert (oracle["n"], oracle["n_others"]) == (3, [4, 4, 4])
    controls = [r["scenario"] for r in rows if r["objective"] == "control"]
    assert controls == ["injected", "retained"]


def test_localization_has_localizers_and_the_actual_change() -> None:
    rows = made("localization", study())
    found = next(r for r in rows if r["subject"] == "localizer")
    assert (found["name"], found["n"], found["chance"]) == ("activations", 2, 0.1)
    assert found["precision_mean"] == pytest.approx(0.83)
    assert found["precision_sd"] == pytest.approx(0.02 / 2**0.5)
    change = next(r for r in rows if (r["subject"], r["name"]) == ("change", "oracle"))
    assert change["precision_mean"] == pytest.approx(0.14)


def test_a_localizer_is_shown_beside_those_that_look_at_no_fact() -> None:
    blind = [localized("norm", seed, 0.5 + 0.1 * seed) for seed in (1, 2)]
    blind += [localized("random_layers", 1, 0.12)]
    failed = stage("localized", {"localizer": "random", "seed": 1, "ratio": 0.1}, None)
    rows = made("localization", [*study().stages, *blind, failed])
    found = next(r for r in rows if r["name"] == "activations")
    assert found["auc_mean"] == pytest.approx(0.915)
    assert found["auc_lo"] < 0.9 < 0.93 < found["auc_hi"]
    assert found["average_precision_mean"] == pytest.approx(0.415)
    assert found["precision_of_norm"] == pytest.approx(0.65)
    assert found["auc_of_norm"] == pytest.approx(0.825)
    assert found["precision_of_random_layers"] == pytest.approx(0.12)
    assert found["precision_of_random"] is None  # its stage failed
    change = next(r for r in rows if r["subject"] == "change")
    assert change["auc_mean"] is None and change["precision_of_norm"] is None


def test_localizers_count_each_seed_once_and_no_tuning_seed() -> None:
    twice = localized("activations", 1, 0.9) | {"key": key("survey")}
    tuning = localized("activations", 9, 0.1)
    joined = stage("localized", {"localizer": "wagle+memflex", "seed": 1, "ratio": 0.1}, None)
    rows = made("localization", [*study().stages, twice, tuning, joined])
    found = {r["name"]: r for r in rows if r["subject"] == "localizer"}
    assert found["activations"]["seeds"] == [1, 2]
    assert found["wagle"]["status"] == found["memflex"]["status"] == "failed (1 of 1)"


def test_the_ratio_asked_for_joins_stages_whose_whole_vectors_round_differently() -> None:
    one = localized("activations", 1, 0.8)
    one["summary"]["ratio"] = 154 / 1536
    (row,) = made("localization", [one])
    assert row["ratio"] == row["chance"] == 0.1


def with_inspections(found: Record, auc: float) -> Record:
    layers = [{"layer": i, "linear": 0.5 + 0.1 * i, "cka_forget_retained": None} for i in (0, 1)]
    summary = found["summary"] | {
        "membership": {"n_members": 4, "auc": {"loss": auc, "zlib": 0.5}, "privleak": -10.0},
        "representations": {"layers": layers, "lens_gap": 0.25},
    }
    return found | {"summary": summary}


def test_inspections_have_a_table_only_where_a_stage_was_inspected(tmp_path: Path) -> None:
    assert "inspections" not in {table.name for table in tables(study())}
    render(study(), tmp_path / "without")
    assert "Membership and" not in (tmp_path / "without/report/index.html").read_text()
    seen = [with_inspections(trial("oracle", s), a) for s, a in ((1, 0.6), (2, 0.8))]
    stages = [*seen, failed_trial("random", 1), with_inspections(control("retained", 1), 0.5)]
    render(Results("mini", {}, stages), tmp_path / "with")
    assert "Membership and representations" in (tmp_path / "with/report/index.html").read_text()
    rows = {
        (r["scenario"], r["measure"], r["layer"]): r
        for r in rows_of(tmp_path / "with", "inspections")
    }
    loss = rows["oracle", "auc loss", ""]
    assert (loss["n"], loss["mean"], loss["sd"]) == ("2", "0.7", "0.141421")
    assert rows["retained", "auc loss", ""]["mean"] == "0.5"
    assert rows["oracle", "privleak", ""]["mean"] == "-10"
    assert rows["oracle", "linear", "1"]["mean"] == "0.6"
    assert rows["oracle", "lens_gap", ""]["mean"] == "0.25"
    assert rows["oracle", "cka_forget_retained", "0"]["mean"] == ""
    assert {key[0] for key in rows} == {"oracle", "retained"}


def test_a_seed_without_inspections_blanks_the_mean() -> None:
    inspected = with_inspections(trial("oracle", 1), 0.6)
    rows = made("inspections", [inspected, trial("oracle", 2)])
    assert [row["mean"] for row in rows] == [None] * len(rows) and rows
    rows = made("inspections", [inspected, failed_trial("oracle", 2)])
    assert {row["status"] for row in rows} == {"failed (1 of 2)"}
    assert {row["mean"] for row in rows} == {None}


def test_every_metric_that_stages_have_is_a_row_and_a_missing_value_blanks_its_mean() -> None:
    assert "metrics" not in {table.name for table in tables(study())}

    def with_metrics(found: Record, **forget: float | None) -> Record:
        means = {"forget": forget, "retain": {"em": 0.9}}
        return found | {"summary": found["summary"] | {"metrics": means}}

    trials = [with_metrics(trial("oracle", s), em=0.1 * s) for s in (1, 3)]
    trials[1]["summary"]["metrics"]["forget"]["long"] = 7.0  # installed after seed 1 was measured
    rows = made("metrics", [*trials, with_metrics(control("retained", 1), em=0.05)])
    found = {(r["scenario"], r["metric"]): r for r in rows}
    em = found["oracle", "em"]
    assert em["forget_mean"] == pytest.approx(0.2) and em["forget_sd"] == pytest.approx(0.02**0.5)
    assert (em["n"], em["retain_mean"], em["retain_sd"]) == (2, pytest.approx(0.9), 0)
    assert found["oracle", "long"]["forget_mean"] is None and found["oracle", "long"]["n"] == 1
    assert found["retained", "em"]["forget_mean"] == 0.05
