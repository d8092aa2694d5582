"""Runs a study's attacks on one model, some of them from a matched start too, and counts them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lacuna.attack.base import Attack, AttackInputs, MixingPath, asked
from lacuna.attack.config import AttackConfig
from lacuna.attack.matched import HALVINGS, Start, find_start, mixed
from lacuna.attack.outcome import Facts, Outcome, recall
from lacuna.costs import READ, Workload
from lacuna.data.tokens import Encoded
from lacuna.data.trees import Trees
from lacuna.evaluate.metrics import extraction_strength
from lacuna.evaluate.token_pass import read_trees
from lacuna.model.trees import laid_out
from lacuna.model_types import PreTrainedModel
from lacuna.train import Front


def attack(
    model: PreTrainedModel,
    facts: Facts,
    retain: Sequence[Encoded],
    config: AttackConfig,
    seed: int,
    way: MixingPath | None = None,
) -> list[Outcome]:
    """Run every configured attack on the model; its weights are the same afterwards.

    Matched starts need a `way`; where it does not cross a level, nothing is repeated from there.
    """
    given, attacks = AttackInputs(model, facts, retain, seed, way), asked(config).values()
    found = [outcome for each in attacks for outcome in each.run(given)]
    repeated = [each for each in attacks if each.matched]
    if way is not None and repeated:
        strength, known = _forget_strength(given, way), dict[float, float]()
        for level in config.starts:
            ends = way.weights, way.start, way.end
            start = find_start(strength, *ends, level, config.tolerance, known)
            found += [] if start is None else _matched(given, repeated, level, start, way)
    return found


def _forget_strength(given: AttackInputs, way: MixingPath) -> Callable[[], float]:
    """Measures the mean forget ES of the model as it is; only the way's weights may have moved."""
    model, end = given.model, given.facts.end_token
    trees = laid_out(model, Trees(given.facts.all, 4096))
    front = Front(model, way.weights)

    def strength() -> float:
        table = read_trees(model, trees, end, front=front).table
        return float(np.nanmean(extraction_strength(table)))

    return strength


def _matched(
    given: AttackInputs, attacks: Sequence[Attack], level: float, start: Start, way: MixingPath
) -> list[Outcome]:
    """Attacks from the mixture `start`, found for a forget ES of `level`."""
    with mixed(way.weights, way.start, way.end, start.alpha):
        kept = recall(given.model, given.retain, given.facts.end_token)[0]
        return [
            replace(
                found,
                start_level=level,
                start_alpha=start.alpha,
                start_es=start.es,
                start_retain_es=kept,
            )
            for each in attacks
            for found in each.run(given)
        ]


def work(config: AttackConfig, load: Workload) -> float:
    """Passes that a study's attacks on one model take, for plans (`lacuna.costs`)."""
    answered = config.new_tokens * load.forget.count
    level = READ * load.forget.tokens + config.success_k * (load.forget.tokens + answered)
    attacks = asked(config).values()
    repeated = [each for each in attacks if each.matched]
    total = sum(each.work(load, level) for each in attacks)
    if repeated:
        looked = (HALVINGS + 2) * READ * load.forget.tokens + READ * load.retain.tokens
        again = looked + sum(each.work(load, level) for each in repeated)
        total += len(config.starts) * again
    return total
