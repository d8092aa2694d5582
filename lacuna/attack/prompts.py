"""Prompting: the same facts in wordings that nobody trained on, and the beginnings of sentences.

No weight moves. `before` is the wording that was forgotten, `after` the attacker's, of the same
facts; knowledge that unlearning hid behind one wording shows as a gain. `ask_often` compares the
first of the k prompts with all of them (Success@k).
"""

from dataclasses import replace

from transformers import PreTrainedModel

from lacuna.attack.base import Facts, Level, Outcome, outcome, recall


def reworded(model: PreTrainedModel, facts: Facts, name: str) -> Outcome:
    """Forgotten facts in the wording `name` of `facts.wordings`."""
    wording = facts.wordings[name]
    before = Level(*recall(model, wording.usual, facts.end_token), None)
    after = Level(*recall(model, wording.other, facts.end_token), None)
    measured = replace(facts, attacked=(), others=wording.other, others_asked=(), ask=None)
    return outcome(name, measured, before, after)


def ask_often(model: PreTrainedModel, facts: Facts) -> Outcome:
    """Success@1 and Success@k of all forgotten facts on the model as it is."""
    facts = facts.spared()
    assert facts.ask is not None
    once = [replace(asked, prompts=asked.prompts[:1]) for asked in facts.others_asked]
    strength, logp = recall(model, facts.others, facts.end_token)
    before = Level(strength, logp, facts.ask(model, once))
    after = Level(strength, logp, facts.ask(model, facts.others_asked))
    return outcome("prompts", facts, before, after)
