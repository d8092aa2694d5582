"""Hand-made studies of single weights: precision records, matched starts, causal reports."""

from lacuna.report import Results
from support.reports import Record, comparison, stage
from support.reports import control as plain_control
from support.reports import trial as plain_trial

SEEDS = (1, 2, 3, 4)
NAMES = ("0.1%", "1%", "5%", "10%", "at_size")


def score_row(truth: str, score: str, auc: float, **nulls: float) -> Record:
    """As `lacuna.audit.precision` writes it."""
    row: Record = {"truth": truth, "score": score, "headline": score == "raw", "chance": 0.194}
    areas = {"": auc, "noise_": 0.5, "random_": 0.5, "magnitude_": 0.83}
    areas |= {f"{name}_": value for name, value in nulls.items()}
    for prefix, area in areas.items():
        row |= {f"{prefix}auc": area, f"{prefix}auc_error": 0.0, f"{prefix}precision_error": 0.0}
        row |= {f"{prefix}{name}": 0.194 + (area - 0.5) for name in NAMES}
    return row


def precise(auc: float, seed: int) -> Record:
    rows = [
        score_row("forget", "qtile", auc - 0.01, noise=0.499),
        score_row("forget", "raw", auc + 0.001 * (seed - 2.5)),
        score_row("forget", "reversal", 0.53, noise=0.879),
        score_row("union", "raw", 0.5 + (auc - 0.5) / 2),
    ]
    inside = [
        {"truth": t, "share": 0.194, "changed": 6000, "energy_inside": 0.2}
        for t in ("forget", "union")
    ]
    best = [{"truth": "forget", "score": "reversal", "auc": 0.53, "noise_auc": 0.879}]
    return {
        "headline": "raw", "scored_weights": 10000, "scored_tensors": 21, "exact": True,
        "scores": rows, "inside": inside, "best": best, "tensors": [],
    }  # fmt: skip


def relearned(logp: float, success: float, start: float | None = None) -> Record:
    """As `lacuna.attack` writes an `Outcome`."""
    return {
        "attack": "lora", "lr": 3e-3, "n_attacked": 36, "n_others": 72, "attacked_es_after": 0.98,
        "others_es_before": 0.03, "others_es_after": 0.1, "others_logp_before": -6.0,
        "others_logp_after": logp, "k": 20, "leaked_before": ["a"], "leaked_after": ["a", "b"],
        "leaked_overlap": 0.5, "success_before": success / 2, "success_after": success,
        "start_level": None if start is None else 0.3, "start_alpha": start,
        "start_es": None if start is None else 0.3,
        "start_retain_es": None if start is None else 0.9,
    }  # fmt: skip


def trial(scenario: str, seed: int, auc: float, logp: float, matched: bool = True) -> Record:
    attacks = [relearned(logp + 0.01 * seed, 0.2)]
    if matched:
        attacks.append(relearned(logp + 1, 0.4, start=0.25))
    return plain_trial(scenario, seed, attacks=attacks, precision=precise(auc, seed))


def control(model: str, seed: int) -> Record:
    found = plain_control(model, seed)
    found["summary"]["attacks"] = [relearned(-4.0 if model == "retained" else -0.4, 0.01)]
    return found


def injected(seed: int, passed: bool) -> Record:
    failures = [] if passed else ["share that others keep 0.071, asked >= 0.85"]
    others = [0.95, 0.97] if passed else [0.07, 0.13]
    report = {
        "injected": {"0": 0.96, "1": 0.99}, "own": [0.02, 0.04], "others": others,
        "joint": {"forget": {"own": 0.02, "others": 0.58}}, "perturbed": [0.9, 0.8],
        "neutral": {"base": 1.2, "injected": 1.1}, "people": {"base": 1.0, "injected": 0.3},
        "failures": failures, "passed": passed,
        "label": "localized" if passed else f"not localized causally: {failures[0]}",
    }  # fmt: skip
    summary = {"seed": seed, "ratio": 0.1, "forget_es": 1.0, "retain_es": 0.99, "causal": report}
    return stage("injected", {"seed": seed, "ratio": 0.1}, summary)


def study(failing: tuple[int, ...] = (3,)) -> Results:
    stages = [injected(seed, seed not in failing) for seed in SEEDS]
    for seed in SEEDS:
        stages += [
            trial("oracle", seed, 1.0, -2.6),
            trial("random", seed, 0.5, -2.4, matched=seed != 4),
            trial("full", seed, 0.501, -2.1),
            *(control(model, seed) for model in ("retained", "injected")),
        ]
    comparisons = [comparison([s for s in stages if s["kind"] == "trial"], "aues")]
    return Results("lacuna", {}, stages, comparisons, start=0.3)
