"""What of a stage the tracking server sees: names, parameters, scores and curves."""

import math

from support import records

from lacuna.results import TrialSummary
from sweeps.stage import Stage
from sweeps.tracking.records import Record, flat, metrics, run_name, scores


def test_a_trials_summary_becomes_metrics_with_alpha_and_layer_as_steps() -> None:
    assert metrics(records.trial()) == [
        ("aues", 0.91, 0),
        ("fs", 0.9, 0),
        ("rs", 0.8, 0),
        ("mu", 0.6, 0),
        ("fq", -3.0, 0),
        ("mu95", -3.2, 0),
        ("mu95_crossed", 1.0, 0),
        ("utility_sets/retain/probability", 0.5, 0),
        ("utility_sets/retain/rouge", 0.75, 0),
        ("localization/region/precision", 1.0, 0),
        ("localization/region/recall", 0.5, 0),
        ("localization/region/by_layer/precision", 1.0, 2),
        ("localization/region/by_layer/recall", 0.25, 2),
        ("paraphrase_es_end", 0.1, 0),
        *_attack("relearn lr 0.0003", {"attacked_es_after": 0.97}, {}),
        *_attack(
            "relearn from 0.5 lr 0.0003",
            {"attacked_es_after": 0.97},
            {"start_alpha": 0.5, "start_es": 0.5, "start_retain_es": 0.9},
        ),
        *_attack("int4", {}, {}),
        *[("curve/fs", value, step) for value, step in [(0.0, 0), (0.9, 100)]],
        *[("curve/rs", value, step) for value, step in [(1.0, 0), (0.8, 100)]],
        *[("curve/mu", value, step) for value, step in [(0.7, 0), (0.6, 100)]],
        *[("curve/fq", value, step) for value, step in [(-20.0, 0), (-3.0, 100)]],
        *[("curve/forget_em", value, step) for value, step in [(1.0, 0), (0.1, 100)]],
        ("curve/forget_prob", 1.0, 0),
    ]


def _attack(
    name: str, before: dict[str, float], after: dict[str, float]
) -> list[tuple[str, float, int]]:
    counts = {"n_attacked": 1.0, "n_others": 1.0}
    levels = {"others_es_before": 0.05, "others_es_after": 0.1}
    levels |= {"others_logp_before": -6.0, "others_logp_after": -4.0}
    values = counts | before | levels | after
    return [(f"attack/{name}/{measure}", value, 0) for measure, value in values.items()]


def test_data_without_wrong_answers_have_no_forget_quality_and_no_curve_of_it() -> None:
    trial: TrialSummary = {**records.trial(), "mu95": None}
    trial["curve"]["fq"] = None
    names = {name for name, *_ in metrics(trial)}
    assert not {"fq", "mu95", "mu95_crossed", "curve/fq"} & names and "curve/mu" in names


def test_models_and_trials_have_their_scores_under_the_same_names() -> None:
    unmeasured = {"aues": None, "mu95": None, "mu95_crossed": None}
    assert scores(records.control()) == unmeasured | {"fs": 0, "rs": 0.75, "mu": 0.7, "fq": -4.0}
    assert metrics(records.control()) == [
        ("fs", 0.0, 0),
        ("rs", 0.75, 0),
        ("mu", 0.7, 0),
        ("fq", -4.0, 0),
        ("paraphrase_es", 0.25, 0),
    ]
    assert metrics(records.search(fs=0.9, aues=0.5))[:3] == [
        ("aues", 0.5, 0),
        ("fs", 0.9, 0),
        ("rs", 0.8, 0),
    ]


def test_checks_are_ones_and_zeros_and_each_localizer_has_its_own_metrics() -> None:
    found = {name: value for name, value, _ in metrics(records.injected())}
    assert found["outside_equal"] == 1.0 and found["leak/forget_es_restored"] == 0.5
    assert found["leak/passed"] == 0.0
    assert metrics(records.localized()) == [
        ("localizer/norm/auc", 1.0, 0),
        ("localizer/wagle/auc", 0.5, 0),
        ("localizer/wagle/by_layer/recall", 0.25, 3),
    ]


def test_nested_parameters_become_paths() -> None:
    assert flat({"train": {"lr": 0.1, "betas": [0.9, 0.95]}, "seed": 1}) == {
        "train/lr": "0.1",
        "train/betas": "[0.9, 0.95]",
        "seed": "1",
    }


def test_a_runs_name_leaves_to_the_columns_what_they_tell() -> None:
    tags = {"objective": "npo+sam", "scenario": "oracle", "seed": "1", "lr": "0.01"}
    test = Stage("trial", "long", {}, {}, {**tags, "ratio": "0.1", "purpose": "test"})
    search = Stage("trial", "long", {}, {}, {**tags, "ratio": "0.1", "purpose": "search"})
    assert run_name(test) == "npo+sam oracle seed=1"
    assert run_name(search) == "search npo+sam oracle seed=1 lr=0.01"
    injected = Stage("injected", "injected seed=1 ratio=0.1", {}, {}, {"seed": "1"})
    assert run_name(injected) == "injected seed=1 ratio=0.1"


def test_a_record_takes_numbers_only() -> None:
    record = Record("run", "0", {}, {})
    record.add([("loss", 0.5, 1), ("loss", math.nan, 2), ("loss", math.inf, 3)])
    assert [point[:3] for point in record.points] == [("loss", 0.5, 1)]
    assert record.points[0][3] >= record.started
