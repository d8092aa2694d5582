"""Shapes like a finished study's: levels and variances from its stored per-item curves.

For each ratio and objective of a finished study, the test trials of the true and of random regions
give, by moments, how much is left of the facts to forget (lost of those to retain) and how it
varies: over seeds for each kind of arm, over people in all trials, over people and items from trial
to trial, and over people by what the true region adds. Variances are freed of the noise below them;
what comes out negative is 0. With few seeds they are rough, as the study's own intervals are.

Shapes: S seeds, K arms (the true one first), I items, P people, A mixing weights.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.artifacts import read_json
from lacuna.errors import UserError
from lacuna.results.files import RESULTS
from lacuna.significance.arms import Floats
from lacuna.significance.calibrate.shapes import MOST, Facts, Shape, Utility

Trial = Mapping[str, Any]
TRUE, RANDOM = "oracle", "random"
MAX_TOKENS = 64
LEAST = 1e-4
"""Smallest level: a share of nothing has no variation."""


def fitted(study: Path) -> list[Shape]:
    """A shape for each ratio and objective with at least two seeds of true and random regions.

    `study` is the folder of a finished study. Raises `UserError` where it holds no results or no
    such trials.
    """
    file = study / RESULTS
    if not file.is_file():
        raise UserError(f"no finished study in {study}: give the folder that holds {RESULTS}")
    record = read_json(file)
    stages = record.get("stages") if isinstance(record, dict) else None
    if not isinstance(stages, list):
        raise UserError(f"{file}: not the results of a study")
    found: dict[tuple[float, str], list[Trial]] = {}
    for stage in stages:
        trial = stage.get("summary") or {}
        if stage.get("kind") == "trial" and trial.get("purpose") == "test":
            found.setdefault((float(trial["ratio"]), str(trial["objective"])), []).append(trial)
    shapes = [
        fit(f"{objective} at {ratio:g}", seeds)
        for (ratio, objective), trials in sorted(found.items())
        if len(seeds := by_seed(trials)) > 1
    ]
    if not shapes:
        raise UserError(f"{file}: no objective has two seeds with {TRUE} and {RANDOM} trials")
    return shapes


def by_seed(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Each seed's trials, the true region's first, as many arms as every seed has."""
    arms: dict[int, dict[str, list[Trial]]] = {}
    for trial in trials:
        arms.setdefault(int(trial["seed"]), {}).setdefault(trial["scenario"], []).append(trial)
    whole = [found for _, found in sorted(arms.items()) if {TRUE, RANDOM} <= found.keys()]
    rivals = min((len(found[RANDOM]) for found in whole), default=0)
    return [[found[TRUE][0], *found[RANDOM][:rivals]] for found in whole]


def fit(name: str, seeds: Sequence[Sequence[Trial]]) -> Shape:
    """The shape of one objective's trials."""
    forget = fit_facts(*arrays(seeds, "forget"), forgets=True)
    retain = fit_facts(*arrays(seeds, "retain"), forgets=False)
    return Shape(name, forget, retain, fit_utility(seeds))


def arrays(seeds: Sequence[Sequence[Trial]], split: str) -> tuple[Floats, list[str]]:
    """ES (S, K, A, I) and the person each item is about; items undefined anywhere are left out.

    Raises `UserError` where the trials' people differ.
    """
    people = list(seeds[0][0][f"people_{split}"])
    if any(list(trial[f"people_{split}"]) != people for arms in seeds for trial in arms):
        raise UserError(f"people to {split} differ between trials: no shape can be fitted")
    es = np.array([[trial[f"es_{split}"] for trial in arms] for arms in seeds], float)
    defined = ~np.isnan(es).any(axis=(0, 1, 2))
    kept = [person for person, is_kept in zip(people, defined, strict=True) if is_kept]
    if len(set(kept)) < 2:
        raise UserError(f"{len(set(kept))} people to {split}: at least 2 are needed for a shape")
    return es[..., defined], kept


def fit_facts(es_SKAI: Floats, people: Sequence[str], *, forgets: bool) -> Facts:
    """Levels and variations of one split."""
    moved_SKAI = np.clip(es_SKAI[:, :, :1] - es_SKAI, 0, 1)
    share_SKI = 1 - moved_SKAI[:, :, -1] if forgets else moved_SKAI[:, :, -1]
    names, person = np.unique(np.asarray(people), return_inverse=True)
    member_PI = np.equal.outer(np.arange(len(names)), person)
    share_SKP = share_SKI @ member_PI.T / member_PI.sum(axis=1)
    level_SK = np.maximum(share_SKI.mean(axis=2), LEAST)
    level, items = float(level_SK.mean()), len(people) / len(names)
    in_trials = spread_over_trials(share_SKI / level_SK[..., None])
    of_people = spread_over_trials(share_SKP / level_SK[..., None])
    item = max(0.0, (in_trials - of_people) * items / max(1.0, items - 1))
    part = max(0.0, of_people - item / items)
    noise = level**2 * (part + item / items) / len(names)
    person_P = (share_SKP / level_SK[..., None]).mean(axis=(0, 1))
    between = float(person_P.var(ddof=1)) - of_people / level_SK.size
    true, random = level_SK[:, 0], level_SK[:, 1:]
    sd_true, sd_random = (
        max(0.0, float(values.var(axis=0, ddof=1).mean()) - noise) ** 0.5
        for values in (true, random)
    )
    return Facts(
        people=len(names),
        items=max(1, round(items)),
        tokens=tokens(es_SKAI),
        curve=curve(moved_SKAI),
        level=min(MOST, level),
        sd_true=sd_true,
        sd_random=sd_random,
        shared=shared(level_SK, sd_true * sd_random),
        person=max(0.0, between) ** 0.5,
        person_in_trial=part**0.5,
        item_in_trial=item**0.5,
        place=place(share_SKP[:, 0] - share_SKP[:, 1:].mean(axis=1)),
    )


def spread_over_trials(relative_SKX: Floats) -> float:
    """Variance from trial to trial of each person or item, relative to the trial's level; mean."""
    trials = relative_SKX.reshape(-1, relative_SKX.shape[-1])
    return float(trials.var(axis=0, ddof=1).mean())


def shared(value_SK: Floats, variance: float) -> float:
    """Correlation over seeds of a seed's true and random arms, within [0, .99].

    `variance` is the product of both kinds' standard deviations, freed of noise as these are.
    """
    if len(value_SK) < 3 or variance <= 0:
        return 0.0
    centred = value_SK - value_SK.mean(axis=0)
    together = float((centred[:, :1] * centred[:, 1:]).sum(axis=0).mean()) / (len(centred) - 1)
    return float(np.clip(together / variance, 0, 0.99))


def place(gap_SP: Floats) -> float:
    """Standard deviation over people of the true region's own effect, freed of seeds' noise."""
    num_seeds, num_people = gap_SP.shape
    mean_P = gap_SP.mean(axis=0)
    left = gap_SP - mean_P
    left -= left.mean(axis=1, keepdims=True)
    noise = float((left**2).sum()) / ((num_seeds - 1) * (num_people - 1))
    return math.sqrt(max(0.0, float(mean_P.var(ddof=1)) - noise / num_seeds))


def curve(moved_SKAI: Floats) -> tuple[float, ...]:
    """Mean way along alpha from 0 to 1; a straight line where nothing moved."""
    mean_A = np.maximum.accumulate(moved_SKAI.mean(axis=(0, 1, 3)))
    if mean_A[-1] < LEAST:
        mean_A = np.linspace(0, 1, len(mean_A))
    return tuple((mean_A / mean_A[-1]).tolist())


def tokens(es_SKAI: Floats) -> int:
    """Median over items of the fewest steps from 0 to 1 that give all values of an item."""
    values = es_SKAI.reshape(-1, es_SKAI.shape[-1])
    scaled: Floats = values[..., None] * np.arange(1, MAX_TOKENS + 1)
    fits = np.all(np.abs(scaled - np.round(scaled)) < 1e-4, axis=0)
    fewest = np.where(np.any(fits, axis=1), np.argmax(fits, axis=1) + 1, MAX_TOKENS)
    return int(np.median(fewest))


def fit_utility(seeds: Sequence[Sequence[Trial]]) -> Utility:
    """Utility and forget quality at both ends; the default where the data have none."""
    curves = [[trial["curve"] for trial in arms] for arms in seeds]
    if any(found.get("fq") is None for arms in curves for found in arms):
        return Utility()
    mu, fq = (np.array([[found[name] for found in arms] for arms in curves], float)
              for name in ("mu", "fq"))  # fmt: skip
    drop_SK, gain_SK = 1 - mu[..., -1] / mu[..., 0], fq[..., -1] - fq[..., 0]
    spread_K = gain_SK.std(axis=0, ddof=1)
    return Utility(
        start=float(mu[..., 0].mean()),
        drop=float(drop_SK.mean()),
        drop_sd=float(drop_SK.std(axis=0, ddof=1).mean()),
        fq_start=float(fq[..., 0].mean()),
        gain=float(gain_SK.mean()),
        gain_sd=float(spread_K.mean()),
        shared=shared(gain_SK, float(spread_K[0] * spread_K[1:].mean())),
        noise=float(np.diff(fq, n=2, axis=-1).std() / 6**0.5),
    )
