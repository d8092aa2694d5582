"""Whole records of every kind, as stages return them: two questions, two mixing weights."""

from lacuna.results import (
    AttackRecord,
    ControlSummary,
    InjectedSummary,
    LocalizedSummary,
    SearchSummary,
    TrialSummary,
)


def attack(
    name: str = "relearn", lr: float | None = 3e-4, start: float | None = None
) -> AttackRecord:
    return {
        "attack": name,
        "lr": lr,
        "n_attacked": 1,
        "n_others": 1,
        "attacked_es_after": None if lr is None else 0.97,
        "others_es_before": 0.05,
        "others_es_after": 0.1,
        "others_logp_before": -6.0,
        "others_logp_after": -4.0,
        "k": None,
        "leaked_before": None,
        "leaked_after": None,
        "leaked_overlap": None,
        "success_before": None,
        "success_after": None,
        "start_level": None if start is None else 0.5,
        "start_alpha": start,
        "start_es": None if start is None else 0.5,
        "start_retain_es": None if start is None else 0.9,
    }


def search(fs: float = 0.95, aues: float = 0.9, seed: int = 9) -> SearchSummary:
    return {
        "objective": "npo",
        "scenario": "oracle",
        "seed": seed,
        "ratio": 0.1,
        "lr": 0.01,
        "purpose": "search",
        "alphas": [0.0, 1.0],
        "curve": {"fs": [0.0, fs], "rs": [1.0, 0.8]},
        "aues": aues,
        "fs_end": fs,
        "rs_end": 0.8,
    }


def trial() -> TrialSummary:
    return {
        "objective": "npo",
        "scenario": "oracle",
        "seed": 1,
        "ratio": 0.1,
        "lr": 0.01,
        "purpose": "test",
        "alphas": [0.0, 1.0],
        "curve": {
            "fs": [0.0, 0.9],
            "rs": [1.0, 0.8],
            "mu": [0.7, 0.6],
            "fq": [-20.0, -3.0],
            "forget_em": [1.0, 0.1],
            "forget_prob": [1.0, None],
        },
        "aues": 0.91,
        "fs_end": 0.9,
        "rs_end": 0.8,
        "es_forget": [[1.0, 1.0], [0.0, 0.2]],
        "es_retain": [[1.0, 1.0], [0.8, 0.8]],
        "people_forget": ["a", "b"],
        "people_retain": ["c", "d"],
        "mu95": {"value": -3.2, "crossed": True},
        "utility_sets": {"retain": {"probability": 0.5, "rouge": 0.75, "truth_ratio": None}},
        "localization": {
            "region": {
                "precision": 1.0,
                "recall": 0.5,
                "by_layer": [{"layer": 2, "precision": 1.0, "recall": 0.25}],
            },
            "change": None,
        },
        "paraphrase_es_end": 0.1,
        "attacks": [attack(), attack(start=0.5), attack("int4", None)],
    }


def control() -> ControlSummary:
    return {
        "model": "injected",
        "seed": 1,
        "fq": -4.0,
        "forget_es": 1.0,
        "retain_es": 0.75,
        "paraphrase_es": 0.25,
        "mu": 0.7,
        "attacks": [],
    }


def injected() -> InjectedSummary:
    return {
        "seed": 1,
        "ratio": 0.1,
        "steps": 140,
        "region_vectors": 154,
        "outside_equal": True,
        "leak": {"forget_es_restored": 0.5, "forget_es_retained": 0.25, "passed": False},
        "forget_es": 1.0,
        "retain_es": 1.0,
        "paraphrase_es": None,
        "mu": 0.7,
    }


def localized() -> LocalizedSummary:
    return {
        "seed": 1,
        "ratio": 0.1,
        "localizers": [
            {"localizer": "norm", "privileges": [], "auc": 1.0},
            {
                "localizer": "wagle",
                "privileges": [],
                "auc": 0.5,
                "by_layer": [{"layer": 3, "precision": None, "recall": 0.25}],
            },
        ],
    }
