"""Which people the attacker knows, which are measured, and in which wordings."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from lacuna.attack.base import asked as asked_attacks
from lacuna.attack.config import AttackConfig
from lacuna.attack.outcome import Ask, Facts, Wording
from lacuna.data.base import Corpus, Example
from lacuna.data.tokens import Encoded, Prompt, encode_examples
from lacuna.errors import UserError
from lacuna.evaluate import Asked, Evaluator, asked, leaked
from lacuna.model import LoadedModel
from lacuna.model_types import PreTrainedModel
from lacuna.seeds import torch_generator


def gather(
    loaded: LoadedModel, corpus: Corpus, evaluator: Evaluator, config: AttackConfig, seed: int
) -> Facts:
    """What the attacks of `config` need to know of a corpus.

    The attacker knows the relearning split where the corpus has one, else a share of the forgotten
    people. Raises `UserError` where that would leave nobody to measure.
    """
    texts, end = evaluator.texts["forget"], loaded.end_token
    leaks = asked(evaluator.forget, corpus.book, config.success_k) if config.success_k else []
    facts = Facts(attacked=(), others=texts, end_token=end, others_asked=leaks)
    relearns = any(attack.knows_people for attack in asked_attacks(config).values())
    if relearns and corpus.relearn:
        known = encode_examples(loaded.tokenizer, loaded.prompt, corpus.relearn)
        facts = replace(facts, attacked=known, outside=True)
    elif relearns:
        facts = split_people(evaluator.forget, texts, config.share, seed, end, leaks)
    return replace(
        facts,
        ask=_asker(loaded, config.new_tokens) if leaks else None,
        wordings=_wordings(loaded, corpus, evaluator) if config.wordings else {},
    )


def split_people(
    examples: Sequence[Example],
    texts: Sequence[Encoded],
    share: float,
    seed: int,
    end: int | None,
    leaks: Sequence[Asked] = (),
) -> Facts:
    """Give the attacker `share` of the forgotten people (at least one, never all).

    Raises `UserError` where there are fewer than two people: nobody would be left to measure.
    """
    people = sorted({example.person for example in examples})
    if len(people) < 2:
        raise UserError(
            "relearning attacks need at least 2 forgotten people, the data has 1: name the people, "
            "or turn them off with attack.relearn_lrs=[] attack.lora_lrs=[]"
        )
    order = torch.randperm(len(people), generator=torch_generator(seed, "attack", "people"))
    count = min(max(1, round(share * len(people))), len(people) - 1)
    known = {people[i] for i in order[:count].tolist()}
    pairs = list(zip(examples, texts, strict=True))
    return Facts(
        attacked=[text for example, text in pairs if example.person in known],
        others=[text for example, text in pairs if example.person not in known],
        end_token=end,
        attacked_asked=[a for a in leaks if a.fact.person in known],
        others_asked=[a for a in leaks if a.fact.person not in known],
    )


def _asker(loaded: LoadedModel, new_tokens: int) -> Ask:
    def ask(model: PreTrainedModel, facts: Sequence[Asked]) -> tuple[str, ...]:
        return leaked(replace(loaded, model=model), facts, new_tokens=new_tokens)

    return ask


def _wordings(loaded: LoadedModel, corpus: Corpus, evaluator: Evaluator) -> dict[str, Wording]:
    """Forgotten facts as paraphrased questions, and as sentences that break off at the value.

    The paraphrases are held out only where the data's are: LACUNA's own were trained on.
    """
    plain = Prompt(template="{question}", separator=loaded.prompt.separator)
    found: dict[str, list[tuple[Encoded, Encoded]]] = {"paraphrase": [], "prefix": []}
    for item, text in zip(evaluator.forget, evaluator.texts["forget"], strict=True):
        kept: tuple[str, ...] = (item.paraphrased_question,)
        prefixes: tuple[str, ...] = ()
        if corpus.book is not None:
            kept = corpus.book.kept(item.person, item.field)
            prefixes = corpus.book.prefixes(item.person, item.field)
        for name, prompt, others in (
            ("paraphrase", loaded.prompt, kept),
            ("prefix", plain, prefixes),
        ):
            found[name] += [
                (text, Encoded.answer(loaded.tokenizer, prompt, other, item.answer))
                for other in others
                if other
            ]
    return {name: Wording(*zip(*pairs, strict=True)) for name, pairs in found.items() if pairs}
