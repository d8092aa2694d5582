"""What of a stage the tracking server sees: names, parameters, scores and curves."""

import math
from typing import Any

from sweeps.stage import Stage
from sweeps.tracking.records import Record, flat, metrics, run_name, scores

TRIAL: dict[str, Any] = {
    "objective": "npo",
    "seed": 1,
    "lr": 0.01,
    "ratio": 0.1,
    "aues": 0.91,
    "alphas": [0.0, 0.05, 1.0],
    "curve": {"fs": [0.1, 0.2, 0.9], "rs": [1.0, 1.0, 0.8], "mu": [0.7, 0.7, 0.6]}
    | {"fq": [None, -0.5, None]},
    "fs_end": 0.9,
    "rs_end": 0.8,
    "mu95": {"value": -3.2, "crossed": True},
    "es_forget": [[0.1, 0.2]],
    "localization": {"region": {"recall": 0.5, "by_layer": [{"layer": 2, "recall": 0.25}]}},
    "attacks": [
        {"attack": "relearn", "lr": 0.0003, "others_es_after": 0.1, "attacked_es_after": None},
        {"attack": "relearn", "lr": 0.0003, "others_es_after": 0.3, "start_alpha": 0.5},
        {"attack": "int4", "lr": None, "others_es_after": 0.2},
    ],
}
CONTROL = {"model": "injected", "seed": 1, "fq": -4.0, "mu": 0.7, "forget_es": 1.0}
CONTROL |= {"retain_es": 0.75, "paraphrase_es": 0.25}


def test_a_trials_summary_becomes_metrics_with_alpha_and_layer_as_steps() -> None:
    assert metrics(TRIAL) == [
        ("aues", 0.91, 0),
        ("fs", 0.9, 0),
        ("rs", 0.8, 0),
        ("mu", 0.6, 0),
        ("mu95", -3.2, 0),
        ("mu95_crossed", 1.0, 0),
        ("localization/region/recall", 0.5, 0),
        ("localization/region/by_layer/recall", 0.25, 2),
        ("attack/relearn lr 0.0003/others_es_after", 0.1, 0),
        ("attack/relearn matched lr 0.0003/others_es_after", 0.3, 0),
        ("attack/relearn matched lr 0.0003/start_alpha", 0.5, 0),
        ("attack/int4/others_es_after", 0.2, 0),
        *[("curve/fs", value, step) for value, step in [(0.1, 0), (0.2, 5), (0.9, 100)]],
        *[("curve/rs", value, step) for value, step in [(1.0, 0), (1.0, 5), (0.8, 100)]],
        *[("curve/mu", value, step) for value, step in [(0.7, 0), (0.7, 5), (0.6, 100)]],
        ("curve/fq", -0.5, 5),
    ]


def test_models_and_trials_have_their_scores_under_the_same_names() -> None:
    assert scores(CONTROL) == {"aues": None, "mu95": None, "mu95_crossed": None} | {
        "fs": 0.0,
        "rs": 0.75,
        "mu": 0.7,
        "fq": -4.0,
    }
    assert metrics(CONTROL) == [
        ("fs", 0.0, 0),
        ("rs", 0.75, 0),
        ("mu", 0.7, 0),
        ("fq", -4.0, 0),
        ("paraphrase_es", 0.25, 0),
    ]
    assert [name for name, *_ in metrics({"aues": 0.5, "mu95": None, "fs_end": 0.5})] == ["aues"]


def test_checks_are_ones_and_zeros_and_each_localizer_has_its_own_metrics() -> None:
    injected = {"outside_equal": True, "leak": {"forget_es_restored": 0.5, "passed": False}}
    assert metrics(injected) == [
        ("outside_equal", 1.0, 0),
        ("leak/forget_es_restored", 0.5, 0),
        ("leak/passed", 0.0, 0),
    ]
    rows = [
        {"localizer": "norm", "privileges": [], "auc": 1.0},
        {"localizer": "wagle", "auc": 0.5, "by_layer": [{"layer": 3, "recall": 0.25}]},
    ]
    assert metrics({"localizers": rows}) == [
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
