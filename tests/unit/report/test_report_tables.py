"""Tables of results, search and models; means and deviations are computed by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.reports import Record, failed_trial, key, made, rows_of, study, trial

from lacuna.report import Results, render
from lacuna.report.cells import Spread, without_paths
from lacuna.report.published import CELLS, DIFFERENCES, cells_beside, differences_beside
from lacuna.report.table import in_csv, make


def test_main_table_holds_the_hand_computed_mean_and_sd(tmp_path: Path) -> None:
    render(study(), tmp_path)
    rows = rows_of(tmp_path, "main")
    row = next(r for r in rows if (r["scenario"], r["measure"]) == ("oracle", "AUES"))
    assert (row["mean"], row["sd"], row["n"], row["seeds"]) == ("0.92", "0.02", "3", "1;2;3")
    # t(0.975, 2) = 4.30265; half-width 4.30265 * 0.02 / sqrt(3) = 0.0496828
    assert (row["lo"], row["hi"]) == ("0.870317", "0.969683")
    # |differences| .01 .03 .02: mean .02, sd .01; signed -.01 .03 -.02: mean 0
    assert (row["abs_diff_mean"], row["abs_diff_sd"], row["p_min"]) == ("0.02", "0.01", "0.25")
    assert float(row["diff"]) == pytest.approx(0, abs=1e-12)
    assert row["p_sign_flip"] == "1"
    assert row["keys"].split(";") == [
        s["key"] for s in study().stages if s["tags"].get("scenario") == "oracle" and "9" not in
        s["tags"]["seed"]
    ]  # fmt: skip


def test_published_values_stand_beside_measured_ones_with_their_difference() -> None:
    rows = [row for row in made("beside", study()) if row["model"] == "Llama-3.1-8B-Instruct"]
    (cell,) = (r for r in rows if (r["scenario"], r["measure"], r["what"], r["table"]) ==
               ("oracle", "AUES", "value", 2))  # fmt: skip
    assert (cell["published"], cell["published_sd"], cell["published_n"]) == (0.619, 0.011, 5)
    assert (cell["measured"], cell["n"]) == (pytest.approx(0.92), 3)
    assert cell["difference"] == pytest.approx(0.92 - 0.619)
    gaps = {r["measure"]: r for r in rows if (r["what"], r["table"]) == ("|oracle - random|", 2)}
    assert (gaps["AUES"]["published"], gaps["AUES"]["measured"]) == (0.011, pytest.approx(0.02))
    assert gaps["AUES"]["difference"] == pytest.approx(0.009)


def test_main_table_names_the_seeds_that_never_reach_95_percent_utility() -> None:
    rows = made("main", study())
    row = next(r for r in rows if (r["scenario"], r["measure"]) == ("random", "MU95"))
    assert (row["mean"], row["sd"], row["uncrossed"]) == (-5.0, 1.0, [3])


def test_json_and_csv_of_a_table_hold_the_same_numbers(tmp_path: Path) -> None:
    render(study(), tmp_path)
    table = json.loads((tmp_path / "tables" / "attacks.json").read_text())
    for row, line in zip(table["rows"], rows_of(tmp_path, "attacks"), strict=True):
        value = row["logp_after_mean"]
        assert line["logp_after_mean"] == ("" if value is None else f"{value:.6g}")
    assert table["columns"] == list(rows_of(tmp_path, "attacks")[0])


def test_a_failed_seed_blanks_the_mean_and_is_counted(tmp_path: Path) -> None:
    stages = [trial("oracle", 1), trial("oracle", 2), failed_trial("oracle", 3)]
    for row in made("main", Results("x", {}, stages)):
        assert (row["status"], row["mean"], row["n"]) == ("failed (1 of 3)", None, 2)
    relearned = made("attacks", stages)[1]
    assert (relearned["attack"], relearned["status"]) == ("relearn", "failed (1 of 3)")
    assert relearned["logp_after_mean"] is None
    render(Results("mini", {}, stages), tmp_path)
    page = (tmp_path / "report" / "index.html").read_text()
    assert "failed (1 of 3)</span> <small> n=2, lr 0.03</small>" in page
    (failure,) = rows_of(tmp_path, "failures")
    assert (failure["reason"], failure["seed"], failure["lr"]) == (
        "loss is not finite",
        "3",
        "0.03",
    )


def test_a_cell_in_which_every_seed_failed_is_still_a_row() -> None:
    stages = [failed_trial("oracle", 1), failed_trial("oracle", 2)]
    assert {row["status"] for row in made("main", Results("x", {}, stages))} == {"failed (2 of 2)"}
    assert [row["status"] for row in made("attacks", stages)] == ["failed (2 of 2)"]


def test_one_seed_has_a_mean_but_no_deviation_and_no_interval() -> None:
    assert Spread.over([0.5]) == Spread(1, 0.5, None, None, None)
    assert Spread.over([0.5, float("nan")]).mean is None


def test_search_marks_the_chosen_rate_and_the_rates_inside_the_window() -> None:
    rows = {(r["scenario"], r["lr"]): r for r in made("search", study())}
    assert rows["oracle", 0.03]["chosen"] and rows["oracle", 0.03]["in_window"]
    assert not rows["oracle", 0.1]["chosen"] and not rows["oracle", 0.1]["in_window"]
    narrow = replace(study(), config={"search": {"fs_low": 0.93, "fs_high": 0.99}})
    assert not any(row["in_window"] for row in made("search", narrow))


def test_search_tells_in_which_order_rates_were_tried_failed_ones_too() -> None:
    high, low = trial("oracle", 9, lr=0.5, purpose="search"), failed_trial("oracle", 9, lr=0.1)
    high["tags"]["turn"] = "1"
    low["tags"] |= {"purpose": "search", "turn": "2"}
    rows = made("search", Results("mini", {}, [high, low]))
    assert [(row["lr"], row["turn"]) for row in rows] == [(0.1, 2), (0.5, 1)]


def test_a_rate_stopped_on_a_rung_has_no_score_and_its_rungs_join_no_whole_trial() -> None:
    def rung(lr: float, steps: int) -> Record:
        found = trial("oracle", 9, lr=lr, fs=0.2, purpose="search")
        tags = found["tags"] | {"rung": str(steps), "turn": "1"}
        return found | {"tags": tags, "key": key("rung", lr, steps)}

    whole = trial("oracle", 9, lr=0.3, fs=0.95, purpose="search")
    stages = [rung(0.1, 10), rung(0.3, 10), rung(0.2, 10), rung(0.2, 30), rung(0.3, 30), whole]
    rows = {row["lr"]: row for row in made("search", Results("mini", {}, stages))}
    assert list(rows) == [0.1, 0.2, 0.3]
    assert (rows[0.1]["status"], rows[0.2]["status"]) == (
        "stopped after 10 steps",
        "stopped after 30 steps",
    )
    assert rows[0.2].get("fs") is None and not rows[0.2]["in_window"] and rows[0.2]["n"] == 0
    assert len(rows[0.2]["keys"]) == 2
    assert (rows[0.3]["status"], rows[0.3]["fs"], rows[0.3]["n"]) == ("ok", 0.95, 1)


def test_search_gives_the_recorded_reason_and_the_pairs_that_were_not_searched() -> None:
    none = "no rate in the window; highest FS below it (0.700)"
    cell = {"ratio": 0.1, "objective": "npo"}
    choices = [
        dict(cell, scenario="random", lr=0.03, in_window=False, reason=none),
        dict(cell, scenario="full", lr=0.5, in_window=True, reason="given"),
    ]
    rows = {r["scenario"]: r for r in made("search", replace(study(), choices=choices))}
    assert (rows["random"]["chosen"], rows["random"]["choice"]) == (True, none)
    assert (rows["full"]["status"], rows["full"]["lr"]) == ("not searched", 0.5)


def test_a_pair_without_any_surviving_rate_keeps_its_place(tmp_path: Path) -> None:
    reason = "all 4 candidates failed"
    choice = {"ratio": 0.1, "objective": "npo", "scenario": "oracle", "lr": None}
    stages = [trial("random", seed) for seed in (1, 2, 3)]
    results = Results("x", {}, stages, choices=[choice | {"reason": reason}])
    verdict = render(results, tmp_path)
    row = next(r for r in rows_of(tmp_path, "main") if r["scenario"] == "oracle")
    assert (row["status"], row["n"], row["mean"]) == (f"failed ({reason})", "0", "")
    assert {claim["verdict"] for claim in verdict} == {"undetermined"}
    assert f"oracle: {reason}" in verdict[0]["reason"]


def test_model_table_joins_injections_with_their_controls() -> None:
    rows = made("models", study())
    row = next(r for r in rows if (r["model"], r["seed"]) == ("injected", 2))
    assert (row["forget_es"], row["mu"], row["leak_passed"]) == (1.0, 0.61, True)
    assert len(row["keys"]) == 2


@pytest.mark.parametrize(
    ("trained", "reused", "said"),
    [(2, 0, "equals the number"), (1, 1, "here or before"), (3, 0, "NOT one per key")],
)
def test_work_says_whether_each_injection_was_trained_once(
    trained: int, reused: int, said: str
) -> None:
    counts = {"injected": {"planned": 2, "reused": reused, "trained": trained}}
    assert said in make("work", replace(study(), counts=counts)).note


def test_reasons_in_tables_lose_the_folders_of_paths() -> None:
    reason = "[Errno 28] No space left on device: '/some/where/part/model.safetensors'"
    assert without_paths(reason) == "[Errno 28] No space left on device: 'model.safetensors'"
    assert without_paths("ratio 1/2 of a/b\n  tokens/s") == "ratio 1/2 of a/b tokens/s"


def test_published_numbers_are_those_of_the_paper() -> None:
    assert (len(CELLS), len(DIFFERENCES)) == (18 + 32 + 12 + 2, 16 + 1)
    rmu = cells_beside("rmu", "oracle", "MU95", 0.1)
    assert [(c.mean, c.sd) for c in rmu] == [(-13.64, 0.63), (-13.62, 1.32)]
    random = [(c.table, c.mean) for c in cells_beside("npo", "random", "AUES", 0.1)]
    assert random == [(1, 0.529), (1, 0.582), (2, 0.625), (2, 0.638), (6, 0.473)]
    wagle = [(c.table, c.mean, c.sd) for c in cells_beside("npo", "wagle", "MU95", 0.05)]
    assert wagle == [(3, -16.82, None)]
    dpo = differences_beside("dpo", "MU95", 0.1)
    assert [(d.mean, d.sd, d.p) for d in dpo] == [(1.09, 1.06, 0.68), (0.41, 0.17, 0.57)]
    assert min(d.p for d in DIFFERENCES) == 0.31


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        (["=a", "b"], "'=a;b"),
        ("-0.5", "-0.5"),
        ("+1e-3", "+1e-3"),
        (-0.5, "-0.5"),
        ([-0.5, -1.0], "-0.5;-1"),
        ("a=1", "a=1"),
        (None, ""),
    ],
)  # fmt: skip
def test_no_cell_of_a_csv_file_is_a_formula(value: object, text: str) -> None:
    assert in_csv(value) == text


def test_the_csv_of_a_hostile_name_is_safe_and_its_json_as_it_was(tmp_path: Path) -> None:
    render(Results("x", {}, [trial("=HYPERLINK(1)", 1)]), tmp_path)
    assert rows_of(tmp_path, "main")[0]["scenario"] == "'=HYPERLINK(1)"
    (first, *_) = json.loads((tmp_path / "tables/main.json").read_text())["rows"]
    assert first["scenario"] == "=HYPERLINK(1)"
