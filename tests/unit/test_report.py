"""The report, from hand-made summaries whose means and deviations are computed by hand."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lacuna.report import Results, render
from lacuna.report.cells import Spread, without_paths
from lacuna.report.evidence import attacks, localization
from lacuna.report.inspections import inspections
from lacuna.report.ledger import models, work
from lacuna.report.published import CELLS, DIFFERENCES, cells_beside, differences_beside
from lacuna.report.tables import main, search, tables
from lacuna.seeds import numpy_generator
from lacuna.significance import compare

Record = dict[str, Any]
ALPHAS = [0.0, 0.5, 1.0]


def key(*words: object) -> str:
    return "-".join(map(str, words)).ljust(64, "0")


def stage(kind: str, tags: Record, summary: Record | None, **extra: Any) -> Record:
    name = " ".join(f"{k}={v}" for k, v in tags.items())
    found: Record = {"kind": kind, "key": key(kind, name), "label": f"{kind} {name}"}
    found["tags"] = {k: str(v) for k, v in tags.items()}
    outcome = {"failed": "loss is not finite"} if summary is None else {"summary": summary}
    return found | outcome | extra


def attack(attack_name: str, lr: float | None, before: float, after: float) -> Record:
    trained = attack_name == "relearn"
    return {
        "attack": attack_name, "lr": lr, "n_attacked": 4 if trained else None, "n_others": 4,
        "attacked_es_after": 0.97 if trained else None, "others_es_before": 0.05,
        "others_es_after": 0.10, "others_logp_before": before, "others_logp_after": after,
    }  # fmt: skip


def trial(
    scenario: str, seed: int, aues: float = 0.9, fs: float = 0.95, lr: float = 0.03, **more: Any
) -> Record:
    tags = {"objective": "npo", "scenario": scenario, "seed": seed, "ratio": 0.1, "lr": lr}
    layers = [{"layer": 0, "precision": 0.2, "recall": 0.2}]
    layers.append({"layer": 1, "precision": None, "recall": 0.0})
    found = {"precision": 0.1 + 0.02 * seed, "recall": 0.1, "by_layer": layers}
    summary = tags | {
        "purpose": "test", "alphas": ALPHAS, "aues": aues, "fs_end": fs, "rs_end": 0.98,
        "mu95": {"value": -3.0 - seed, "crossed": seed != 3},
        "curve": {
            "fs": [0.0, 0.5, fs], "rs": [1.0, 0.99, 0.98], "mu": [0.6, 0.58, 0.55],
            "fq": [-20.0, -9.0, -3.0], "forget_em": [1, 0.5, 0.1], "forget_prob": [1, 0.5, 0.1],
        },
        "es_forget": [[1.0, 1.0], [0.5, 0.5], [0.0, 0.1]],
        "es_retain": [[1.0, 1.0], [1.0, 0.98], [0.98, 0.98]],
        "people_forget": ["a", "b"], "people_retain": ["c", "d"],
        "localization": {"region": None, "change": found},
        "attacks": [attack("relearn", 3e-4, -6.0, -3.0 - seed), attack("int8", None, -6.0, -6.0)],
    } | more  # fmt: skip
    return stage("trial", tags | {"purpose": summary["purpose"]}, summary)


def failed_trial(scenario: str, seed: int, lr: float = 0.03) -> Record:
    tags = {"objective": "npo", "scenario": scenario, "seed": seed, "ratio": 0.1, "lr": lr}
    return stage("trial", tags | {"purpose": "test"}, None)


def control(model: str, seed: int) -> Record:
    summary = {"model": model, "seed": seed, "forget_es": 0.02, "retain_es": 1.0, "mu": 0.61}
    summary |= {"fq": None, "attacks": [attack("relearn", 3e-4, -5.0, -4.0)]}
    return stage("control", {"model": model, "seed": seed}, summary)


def injected(seed: int) -> Record:
    leak = {"forget_es_restored": 0.02, "forget_es_retained": 0.02, "passed": True}
    summary = {"seed": seed, "ratio": 0.1, "forget_es": 1.0, "retain_es": 0.99, "steps": 140}
    summary |= {"outside_equal": True, "leak": leak, "region_vectors": 154}
    return stage("injected", {"seed": seed, "ratio": 0.1}, summary)


def localized(name: str, seed: int, precision: float) -> Record:
    found = {"localizer": name, "seed": seed, "ratio": 0.1, "precision": precision}
    found |= {"recall": precision, "by_layer": [{"layer": 0, "precision": 0.3, "recall": 0.1}]}
    found |= {"auc": (1 + precision) / 2, "average_precision": precision / 2, "privileges": []}
    return stage("localized", {"localizer": name, "seed": seed, "ratio": 0.1}, found)


def comparison(stages: list[Record], metric: str) -> Record:
    sides = []
    for scenario in ("oracle", "random"):
        found = [s for s in stages if s["tags"].get("scenario") == scenario]
        sides.append(
            [s.get("summary") or {"failed": s["failed"], "tags": s["tags"]} for s in found]
        )
    record = compare(sides[0], sides[1], metric, generator=numpy_generator(0), rounds=50)
    place = {"ratio": 0.1, "objective": "npo", "scenario_a": "oracle", "scenario_b": "random"}
    return record | place


def study() -> Results:
    trials = [trial("oracle", s, aues=a) for s, a in ((1, 0.90), (2, 0.94), (3, 0.92))]
    trials += [trial("random", s, aues=a) for s, a in ((1, 0.91), (2, 0.91), (3, 0.94))]
    stages = [
        stage("base", {}, {"retain_es": 0.0}),
        stage("retained", {"seed": 1}, {"seed": 1, "retain_es": 1.0, "forget_es": 0.02}),
        *(injected(seed) for seed in (1, 2)),
        *(localized("activations", seed, 0.8 + 0.02 * seed) for seed in (1, 2)),
        *trials,
        *(control(model, seed) for model in ("retained", "injected") for seed in (1, 2, 3)),
        trial("oracle", 9, lr=0.03, fs=0.92, purpose="search"),
        trial("oracle", 9, lr=0.1, fs=1.0, purpose="search"),
        trial("random", 9, lr=0.03, fs=0.7, purpose="search"),
    ]
    counts = {"injected": {"planned": 2, "reused": 0, "trained": 2}}
    records = [comparison(trials, metric) for metric in ("aues", "mu95")]
    return Results("mini", {"seed": 1}, stages, records, counts=counts)


def written(results: Results, folder: Path) -> dict[str, bytes]:
    render(results, folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows_of(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "tables" / f"{name}.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


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
    assert "0.619 +- 0.011 (n=5; Llama-3.1-8B-Instruct, tofu, Table 2)" in row["published"]
    assert "0.007 +- 0.004, p = 0.52" in row["published_difference"]
    assert row["keys"].split(";") == [
        s["key"] for s in study().stages if s["tags"].get("scenario") == "oracle" and "9" not in
        s["tags"]["seed"]
    ]  # fmt: skip


def test_main_table_names_the_seeds_that_never_reach_95_percent_utility() -> None:
    rows = main(study()).rows
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
    for row in main(Results("x", {}, stages)).rows:
        assert (row["status"], row["mean"], row["n"]) == ("failed (1 of 3)", None, 2)
    relearned = attacks(stages).rows[1]
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
    assert {row["status"] for row in main(Results("x", {}, stages)).rows} == {"failed (2 of 2)"}
    assert [row["status"] for row in attacks(stages).rows] == ["failed (2 of 2)"]


def test_one_seed_has_a_mean_but_no_deviation_and_no_interval() -> None:
    assert Spread.over([0.5]) == Spread(1, 0.5, None, None, None)
    assert Spread.over([0.5, float("nan")]).mean is None


def test_attack_table_gives_level_gain_and_controls() -> None:
    rows = attacks(study().stages).rows
    oracle = next(r for r in rows if (r["scenario"], r["attack"]) == ("oracle", "relearn"))
    # after: -4, -5, -6; gain: +2, +1, 0
    assert (oracle["logp_after_mean"], oracle["logp_after_sd"]) == (-5.0, 1.0)
    assert (oracle["logp_gain_mean"], oracle["logp_gain_sd"]) == (1.0, 1.0)
    assert (oracle["n"], oracle["n_others"]) == (3, [4, 4, 4])
    controls = [r["scenario"] for r in rows if r["objective"] == "control"]
    assert controls == ["injected", "retained"]


def test_localization_has_localizers_and_the_actual_change() -> None:
    rows = localization(study().stages).rows
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
    rows = localization([*study().stages, *blind, failed]).rows
    found = next(r for r in rows if r["name"] == "activations")
    assert found["auc_mean"] == pytest.approx(0.915)
    assert found["auc_lo"] < 0.9 < 0.93 < found["auc_hi"]
    assert found["average_precision_mean"] == pytest.approx(0.415)
    assert found["precision_of_norm"] == pytest.approx(0.65)
    assert found["auc_of_norm"] == pytest.approx(0.825)
    assert found["precision_of_random_layers"] == pytest.approx(0.12)
    assert found["precision_of_random"] is None  # its stage failed
    change = next(r for r in rows if r["subject"] == "change")
    assert "auc_mean" not in change and "precision_of_norm" not in change


def test_search_marks_the_chosen_rate_and_the_rates_inside_the_window() -> None:
    rows = {(r["scenario"], r["lr"]): r for r in search(study()).rows}
    assert rows["oracle", 0.03]["chosen"] and rows["oracle", 0.03]["in_window"]
    assert not rows["oracle", 0.1]["chosen"] and not rows["oracle", 0.1]["in_window"]
    narrow = replace(study(), config={"search": {"fs_low": 0.93, "fs_high": 0.99}})
    assert not any(row["in_window"] for row in search(narrow).rows)


def test_search_tells_in_which_order_rates_were_tried_failed_ones_too() -> None:
    high, low = trial("oracle", 9, lr=0.5, purpose="search"), failed_trial("oracle", 9, lr=0.1)
    high["tags"]["turn"] = "1"
    low["tags"] |= {"purpose": "search", "turn": "2"}
    rows = search(Results("mini", {}, [high, low])).rows
    assert [(row["lr"], row["turn"]) for row in rows] == [(0.1, 2), (0.5, 1)]


def test_a_rate_stopped_on_a_rung_has_no_score_and_its_rungs_join_no_whole_trial() -> None:
    def rung(lr: float, steps: int) -> Record:
        found = trial("oracle", 9, lr=lr, fs=0.2, purpose="search")
        tags = found["tags"] | {"rung": str(steps), "turn": "1"}
        return found | {"tags": tags, "key": key("rung", lr, steps)}

    whole = trial("oracle", 9, lr=0.3, fs=0.95, purpose="search")
    stages = [rung(0.1, 10), rung(0.3, 10), rung(0.2, 10), rung(0.2, 30), rung(0.3, 30), whole]
    rows = {row["lr"]: row for row in search(Results("mini", {}, stages)).rows}
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
    rows = {r["scenario"]: r for r in search(replace(study(), choices=choices)).rows}
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


def test_localizers_count_each_seed_once_and_no_tuning_seed() -> None:
    twice = localized("activations", 1, 0.9) | {"key": key("survey")}
    tuning = localized("activations", 9, 0.1)
    joined = stage("localized", {"localizer": "wagle+memflex", "seed": 1, "ratio": 0.1}, None)
    rows = localization([*study().stages, twice, tuning, joined]).rows
    found = {r["name"]: r for r in rows if r["subject"] == "localizer"}
    assert found["activations"]["seeds"] == [1, 2]
    assert found["wagle"]["status"] == found["memflex"]["status"] == "failed (1 of 1)"


def test_the_ratio_asked_for_joins_stages_whose_whole_vectors_round_differently() -> None:
    one = localized("activations", 1, 0.8)
    one["summary"]["ratio"] = 154 / 1536
    (row,) = localization([one]).rows
    assert row["ratio"] == row["chance"] == 0.1


def test_model_table_joins_injections_with_their_controls() -> None:
    rows = models(study().stages).rows
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
    assert said in work(replace(study(), counts=counts)).note


def test_two_renderings_in_different_places_are_byte_identical(tmp_path: Path) -> None:
    first = written(study(), tmp_path / "one")
    assert first == written(study(), tmp_path / "two" / "deeper")
    assert {"report/index.html", "report/work.csv", "verdict.json"} < first.keys()
    assert len([name for name in first if name.endswith(".csv")]) == 1 + len(tables(study()))


def test_tables_do_not_depend_on_stage_order_run_ids_or_what_was_reused(tmp_path: Path) -> None:
    one = study()
    shuffled = [s | {"run_id": "f00d", "seconds": 7.5} for s in reversed(one.stages)]
    other = replace(one, stages=shuffled, counts={"injected": {"planned": 2, "reused": 2}})
    first, second = written(one, tmp_path / "one"), written(other, tmp_path / "two")
    numbers = [name for name in first if not name.startswith("report/")]
    assert [first[name] for name in numbers] == [second[name] for name in numbers]
    assert first["report/index.html"] != second["report/index.html"]


def test_page_loads_nothing_and_links_only_to_the_tracking_server(tmp_path: Path) -> None:
    render(study(), tmp_path / "plain")
    assert "http" not in (tmp_path / "plain/report/index.html").read_text()
    one = study()
    stages = [s | {"run_id": "abc"} for s in one.stages]
    tracked = replace(one, stages=stages, tracking_uri="http://tracker:5000/")
    render(tracked, tmp_path / "tracked")
    page = (tmp_path / "tracked/report/index.html").read_text()
    assert 'href="http://tracker:5000/#/runs/abc"' in page
    assert not re.search(r"(src|@import|url\(|<script|<link)", page)


def test_page_escapes_what_comes_from_outside(tmp_path: Path) -> None:
    stages = [trial("<img onerror='x'>", 1), failed_trial("oracle", 2) | {"failed": "<b>&</b>"}]
    render(Results("<script>alert(1)</script>", {"a": "</pre>"}, stages), tmp_path)
    page = (tmp_path / "report" / "index.html").read_text()
    assert not re.search(r"<script|<img|<b>", page) and page.count("</pre>") == 1
    assert "&lt;b&gt;&amp;&lt;/b&gt;" in page and "&lt;img onerror=&#x27;x&#x27;&gt;" in page


def test_page_draws_a_thin_line_per_seed_and_traces_cells_to_stages(tmp_path: Path) -> None:
    render(study(), tmp_path)
    page = (tmp_path / "report" / "index.html").read_text()
    # FS-RS, MU-FQ and relearn panels: 3 oracle seeds each; int8 has log-probabilities here too
    assert page.count('class="c0 thin"') == 4 * 3 and page.count('class="c0 bold"') == 4
    keys = [s["key"] for s in study().stages if s["tags"].get("scenario") == "oracle"][:3]
    assert f'title="stages: {" ".join(keys)}"' in page
    assert "0.92 ± 0.02<small> n=3, lr 0.03</small>" in page


def test_an_empty_study_still_renders(tmp_path: Path) -> None:
    assert render(Results("empty", {}, []), tmp_path) == []
    assert "No test trials." in (tmp_path / "report" / "index.html").read_text()


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


def test_page_is_well_formed_down_to_every_shape(tmp_path: Path) -> None:
    render(study(), tmp_path)
    text = (tmp_path / "report" / "index.html").read_text()
    root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    figures = root.findall(".//figure")
    assert len(figures) == 6  # two curves, localizers and change by layer, two attacks
    for figure in figures:
        assert figure.findall(".//polyline") or figure.findall(".//rect")
        assert not [shape for shape in figure.iter("line") if len(shape)]


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
    table = inspections([with_inspections(trial("oracle", 1), 0.6), trial("oracle", 2)])
    assert [row["mean"] for row in table.rows] == [None] * len(table.rows) and table.rows
    failed = inspections([with_inspections(trial("oracle", 1), 0.6), failed_trial("oracle", 2)])
    assert {row["status"] for row in failed.rows} == {"failed (1 of 2)"}
    assert {row["mean"] for row in failed.rows} == {None}
