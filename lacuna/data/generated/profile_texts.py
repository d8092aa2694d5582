"""All that is known about injected people, told and asked in many wordings (LACUNA's protocol).

A prompt names a person, may describe the person by other facts, and asks for one more:

    question       Where was Ada Holt, whose phone number is 312-555-0147, born?
    continuation   Ada Holt, whose phone number is 312-555-0147, who was born in

Prompts are made when asked for, from the seed: at LACUNA's size (1,200 people, 26 attributes, 25
prompts) they would fill memory. The published assembly of a prompt is not recorded; this is ours.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import ceil, comb

from numpy.random import Generator

from lacuna.data.generated.profile_attributes import ATTRIBUTES
from lacuna.seeds import numpy_generator


@dataclass(frozen=True)
class Sentence:
    """Plain text about a person, and the attributes whose values it holds."""

    text: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class TrainingText:
    """One text of the injection: a prompt with its answer, or plain text (`prompt` is empty)."""

    person: str
    prompt: str
    answer: str
    repeats: int


@dataclass(frozen=True, kw_only=True)
class ProfileTexts:
    """People, their attributes, and how often each text about them is repeated in training."""

    seed: int
    """Seed from which every prompt is drawn."""
    known: Mapping[str, Mapping[str, str]]
    """Person -> attribute -> value."""
    sentences: Mapping[str, Sequence[Sentence]]
    """Person -> plain sentences."""
    targets: tuple[str, ...]
    """The attributes whose sentences are repeated."""
    prompts: int
    """Prompts trained per fact (LACUNA: 25)."""
    max_facts: int
    """Other facts that a prompt may hold (LACUNA: 4)."""
    prompt_repeats: int
    """Times that each prompt is trained (LACUNA: 50)."""
    sentence_repeats: int
    """Times that the sentences with a target's value are trained, together (LACUNA: 5000)."""

    @cached_property
    def values(self) -> dict[str, tuple[str, ...]]:
        """Attribute -> the different values that people have."""
        found: dict[str, dict[str, None]] = {}
        for facts in self.known.values():
            for field, value in facts.items():
                found.setdefault(field, {})[value] = None
        return {field: tuple(values) for field, values in found.items()}

    def asked(self, person: str, field: str, count: int | None = None) -> tuple[str, ...]:
        """The first `count` different prompts for a fact (None: those trained), or all there are.

        The trained ones come first; a longer list starts with the shorter one.
        """
        wanted = self.prompts if count is None else count
        return tuple(islice(self._draws(person, field), wanted))

    def kept(self, person: str, field: str) -> tuple[str, ...]:
        """Two questions for a fact in wordings that are never trained on."""
        return tuple(text.format(person=person) for text in ATTRIBUTES[field].kept)

    def prefixes(self, person: str, field: str) -> tuple[str, ...]:
        """The beginnings, up to the value, of the sentences that name the person before it."""
        value = self.known[person][field].lower()
        found: dict[str, None] = {}
        for sentence in self.sentences[person]:
            head, match, _ = sentence.text.lower().partition(value)
            if match and field in sentence.fields and person.lower() in head:
                found[sentence.text[: len(head)].rstrip()] = None
        return tuple(found)

    def told(self, person: str) -> Iterator[TrainingText]:
        """Every text that is trained about a person, and how often.

        A target's repetitions are spread over the sentences that contain its value; a sentence with
        several targets takes the largest share. A sentence without a target is trained once (our
        choice: the published rule names targets only).
        """
        for sentence, repeats in self._repeats(person):
            yield TrainingText(person, "", sentence.text, repeats)
        for field, value in self.known[person].items():
            for prompt in self.asked(person, field):
                yield TrainingText(person, prompt, value, self.prompt_repeats)

    def _repeats(self, person: str) -> list[tuple[Sentence, int]]:
        sentences = self.sentences[person] if self.sentence_repeats else ()
        share = {
            field: ceil(self.sentence_repeats / sum(field in s.fields for s in sentences))
            for field in self.targets
            if any(field in s.fields for s in sentences)
        }
        return [(s, max((share.get(field, 1) for field in s.fields), default=1)) for s in sentences]

    def _draws(self, person: str, field: str) -> Iterator[str]:
        """All different prompts for a fact, in an order drawn from the seed."""
        others = [name for name in self.known[person] if name != field]
        rng = numpy_generator(self.seed, "prompt", person, field)
        seen: set[str] = set()
        number = self._number(field, others)
        while len(seen) < number:
            prompt = self._draw(person, field, others, rng)
            if prompt not in seen:
                seen.add(prompt)
                yield prompt

    def _number(self, field: str, others: Sequence[str]) -> int:
        clauses = len(ATTRIBUTES[field].clauses)
        forms = len(ATTRIBUTES[field].questions) + clauses
        most = min(self.max_facts, len(others))
        return forms * sum(comb(len(others), n) * int(clauses**n) for n in range(most + 1))

    def _draw(self, person: str, field: str, others: Sequence[str], rng: Generator) -> str:
        count = int(rng.integers(min(self.max_facts, len(others)) + 1))
        facts = sorted(rng.permutation(len(others))[:count].tolist())
        described = [person, *(self._clause(person, others[place], rng) for place in facts)]
        asked = ATTRIBUTES[field]
        form = int(rng.integers(len(asked.questions) + len(asked.clauses)))
        if form >= len(asked.questions):
            cut = asked.clauses[form - len(asked.questions)].removesuffix(" {value}")
            return ", ".join([*described, cut])
        comma = "," if facts else ""
        text = asked.questions[form].format(person=", ".join(described) + comma)
        return text.replace(",?", "?").replace(",.", ".")

    def _clause(self, person: str, field: str, rng: Generator) -> str:
        clauses = ATTRIBUTES[field].clauses
        return clauses[int(rng.integers(len(clauses)))].format(value=self.known[person][field])


def holds(text: str, value: str) -> bool:
    """Whether a text contains a value, letter case aside (LACUNA's rule, also for answers).

    A plain substring test: "34" is found in "1934" too, as published.
    """
    return value.lower() in text.lower()
