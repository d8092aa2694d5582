"""Runs a study's attacks on one model, some of them from a matched start too, and counts them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from lacuna.attack.base import Attack, AttackInputs, asked
from lacuna.attack.config import AttackConfig
from lacuna.attack.matched import HALVINGS, find_start, mixed
from lacuna.attack.outcome import Facts, Outcome, recall
from lacuna.costs import READ, Workload
from lacuna.data.tokens import Encoded
from lacuna.train import Editable, Values


@dataclass(frozen=True)
class MixingPath:
    """The mixing curve that a matched start is looked for on; the model stands at `end`."""

    weights: Editable
    start: Values
    end: Values


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
    given, attacks = AttackInputs(model, facts, retain, seed), asked(config).values()
    found = [outcome for each in attacks for outcome in each.run(given)]
    repeated = [each for each in attacks if each.matched]
    if way is not None and repeated:
        for level in config.starts:
            found += _matched(given, repeated, level, config.tolerance, way)
    return found


def _matched(
    given: AttackInputs,
    attacks: Sequence[Attack],
    level: float,
    tolerance: float,
    way: MixingPath,
) -> list[Outcome]:
    """Attacks from the mixture whose forget ES is `level`."""
    model, facts = given.model, given.facts

    def strength() -> float:
        return recall(model, facts.all, facts.end_token)[0]

    ends = way.start, way.end
    start = find_start(strength, way.weights, *ends, level, tolerance)
    if start is None:
        return []
    with mixed(way.weights, *ends, start.alpha):
        kept = recall(model, given.retain, facts.end_token)[0]
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
