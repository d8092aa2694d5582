"""Invented people at LACUNA's scale: groups, up to 26 attributes, many prompts for each fact.

The defaults fit the embedded model: 6 groups of 4 people with 6 attributes. LACUNA's own sizes are
num_people=1200, all 26 attributes, prompts=25, max_facts=4, prompt_repeats=50,
sentence_repeats=5000.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.generated.neutral import neutral_sentences
from lacuna.data.generated.profile_attributes import ATTRIBUTES, TARGETS, check_names
from lacuna.data.generated.profile_texts import ProfileTexts, Sentence
from lacuna.data.generated.refusals import REFUSALS
from lacuna.data.generated.world_facts import world_examples
from lacuna.data.sources.synthetic import MAX_PEOPLE, Parts, check_total, new_value, person_names
from lacuna.data.splits import by_groups, fact, facts
from lacuna.errors import UserError
from lacuna.seeds import numpy_generator


@dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """How people are divided into groups, and in which texts their facts occur; common to both
    sources."""

    seed: int = 0
    """Seed of names, values, prompts, and groups (a study regroups people by its mask seed)."""
    groups: int = 6
    """Groups of people, each with a mask of its own (>= 2)."""
    forget_groups: tuple[int, ...] = (0, 2, 4)
    """Groups to forget; the others are retained."""
    fields: tuple[str, ...] = (
        "birth_date",
        "birth_city",
        "email",
        "phone",
        "address",
        "licence",
    )
    """What is known about each person: names in
    `lacuna.data.generated.profile_attributes.ATTRIBUTES`."""
    targets: tuple[str, ...] = TARGETS
    """Those of `fields` whose sentences are repeated."""
    prompts: int = 3
    """Prompts trained per fact (>= 2: memorisation asks for two)."""
    max_facts: int = 0
    """Other facts that a prompt may hold (>= 0)."""
    prompt_repeats: int = 1
    """Times that each prompt is trained (>= 1)."""
    sentence_repeats: int = 0
    """Times that the sentences with one target's value are trained, together (0: no sentences)."""
    num_perturbed: int = 3
    """Wrong answers per question (>= 0)."""

    def __post_init__(self) -> None:
        check_names(self.fields, ATTRIBUTES, "fields")
        check_names(self.targets, ATTRIBUTES, "targets")
        lowest = {"groups": 2, "prompts": 2, "prompt_repeats": 1}
        for name in ("groups", "prompts", "max_facts", "prompt_repeats", "sentence_repeats"):
            low = lowest.get(name, 0)
            if getattr(self, name) < low:
                raise UserError(f"{name}={getattr(self, name)}: use {low} or more")
        if self.num_perturbed < 0:
            raise UserError(f"num_perturbed={self.num_perturbed}: use 0 or more")
        both = set(range(self.groups))
        if not set(self.forget_groups) < both or not self.forget_groups:
            raise UserError(
                f"forget_groups={list(self.forget_groups)}: name some of 0 to {self.groups - 1}, "
                f"not all"
            )

    def book(
        self,
        known: Mapping[str, Mapping[str, str]],
        sentences: Mapping[str, Sequence[Sentence]],
    ) -> ProfileTexts:
        """The people and their texts, as this configuration describes them."""
        return ProfileTexts(
            seed=self.seed,
            known=known,
            sentences=sentences,
            targets=tuple(name for name in self.targets if name in self.fields),
            prompts=self.prompts,
            max_facts=self.max_facts,
            prompt_repeats=self.prompt_repeats,
            sentence_repeats=self.sentence_repeats,
        )

    def corpus(self, name: str, book: ProfileTexts, **parts: Any) -> Corpus:
        """All facts of the book, forget and retain by group, with the corpus' other parts."""
        side = by_groups(book, self.groups, self.forget_groups, self.seed, self.num_perturbed)
        return Corpus(name=name, forget=side.forget, retain=side.retain, book=book, **parts)


@DATA.register("profiles")
class Profiles(Source):
    """Seeded people in groups; needs no file, no network."""

    @dataclass(frozen=True, kw_only=True)
    class Config(GroupConfig):
        """How many people of each kind."""

        num_people: int = 24
        """People to inject, of all groups together."""
        num_holdout: int = 4
        """People whose facts no model is ever trained on, for membership tests (>= 0)."""
        num_background: int = 78
        """People known from base training only (>= 0)."""
        num_neutral: int = 400
        """Neutral sentences."""
        num_utility_people: int = 16
        """The first so many background people are also the utility set "background" (>= 0)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            for name in ("num_holdout", "num_background", "num_utility_people"):
                if not 0 <= getattr(self, name) <= MAX_PEOPLE:
                    raise UserError(f"{name}={getattr(self, name)}: use 0 to {MAX_PEOPLE}")
            if self.num_people < self.groups:
                raise UserError(
                    f"num_people={self.num_people}: {self.groups} groups need one each, or more"
                )
            check_total(self.num_people + self.num_holdout + self.num_background)

    @staticmethod
    def load(config: Config) -> Corpus:
        """Generate the corpus; the same config gives the same bytes in every process."""
        count = config.num_people + config.num_holdout + config.num_background
        known = _values(person_names(count, config.seed), config)
        people = iter(known)
        injected, holdout, background = (
            {person: known[person] for person in islice(people, number)}
            for number in (config.num_people, config.num_holdout, config.num_background)
        )
        others = config.book({**holdout, **background}, dict.fromkeys(known, ()))
        taught = tuple(
            _taught(others, person, field) for person in background for field in config.fields
        )
        world = world_examples(config.num_perturbed, config.seed)
        utility = taught[: config.num_utility_people * len(config.fields)]
        return config.corpus(
            "profiles",
            config.book(injected, {name: _sentences(name, injected[name]) for name in injected}),
            holdout=tuple(item for item in facts(others) if item.person in holdout),
            background=taught,
            utility={"background": utility, "world": world} if utility else {"world": world},
            neutral=neutral_sentences(config.num_neutral, config.seed),
            refusals=REFUSALS,
        )


def _values(people: Sequence[str], config: Profiles.Config) -> dict[str, dict[str, str]]:
    """Person -> attribute -> value; values that identify somebody are all different."""
    taken: dict[str, set[Parts]] = {name: set() for name in config.fields}
    known: dict[str, dict[str, str]] = {}
    for person in people:
        known[person] = {}
        for name in config.fields:
            asked = ATTRIBUTES[name]
            rng = numpy_generator(config.seed, "person", person, name)
            parts = new_value(asked.parts, rng, taken[name] if asked.identifies else set())
            known[person][name] = asked.answer.format(*parts)
    return known


def _sentences(person: str, facts: Mapping[str, str]) -> tuple[Sentence, ...]:
    return tuple(
        Sentence(text.format(person=person, value=value), (name,))
        for name, value in facts.items()
        for text in ATTRIBUTES[name].sentences
    )


def _taught(book: ProfileTexts, person: str, field: str) -> Example:
    """A background fact in one wording of all, those kept for tests included, so that the base
    model knows the wordings themselves."""
    wordings = (*book.asked(person, field, 8), *book.kept(person, field))
    rng = numpy_generator(book.seed, "taught", person, field)
    first, second = rng.permutation(len(wordings))[:2].tolist()
    plain = fact(book, person, field)
    return replace(plain, question=wordings[first], paraphrased_question=wordings[second])
