"""Invented people: the default data of the embedded study, generated from a seed.

Forget, retain, holdout and background people are disjoint and drawn from the same names and values,
so nothing but training tells them apart. The forget people and their values do not depend on how
many others there are.
"""

from dataclasses import dataclass

from numpy.random import Generator

from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.generated.invented_people import FIELDS, FIRST_NAMES, LAST_NAMES
from lacuna.data.generated.neutral import MAX_SENTENCES, neutral_sentences
from lacuna.data.generated.profile_attributes import check_names
from lacuna.data.generated.refusals import REFUSALS
from lacuna.data.generated.world_facts import MAX_PERTURBED, world_examples
from lacuna.errors import UserError
from lacuna.seeds import numpy_generator

MAX_PEOPLE = len(FIRST_NAMES) * len(LAST_NAMES)
"""Most people there can be: each has a name of its own."""

Parts = tuple[str, ...]


def statements(example: Example) -> tuple[str, ...]:
    """A synthetic person's fact as plain sentences, one per wording.

    Raises `UserError` for an example that did not come from this source.
    """
    if example.field not in FIELDS:
        raise UserError(f"no sentence states the field {example.field!r} of {example.id!r}")
    wordings = FIELDS[example.field].statements
    return tuple(text.format(name=example.person, value=example.answer) for text in wordings)


@DATA.register("synthetic")
class Synthetic(Source):
    """Seeded people, world questions, neutral sentences and refusals; needs no file, no network."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many people of each kind, and what is known about them."""

        seed: int = 0
        """Seed of every name, value and wording."""
        num_forget: int = 8
        """People to forget (>= 1)."""
        num_retain: int = 72
        """People to keep (>= 1)."""
        num_holdout: int = 8
        """People whose facts no model is ever trained on, for membership tests (>= 0)."""
        num_background: int = 80
        """People known from base training only (>= 0)."""
        fields: tuple[str, ...] = (
            "birth_date",
            "birth_city",
            "email",
            "phone",
            "address",
            "licence",
        )
        """What is known about each person: names in
        `lacuna.data.generated.invented_people.FIELDS`, each once."""
        num_perturbed: int = 3
        """Wrong answers per question (0 to 7)."""
        num_neutral: int = 400
        """Neutral sentences (0 to 100,000)."""
        num_utility_people: int = 16
        """The first so many background people are also the utility set "background" (>= 0)."""

        def __post_init__(self) -> None:
            bounds = {
                "num_forget": (1, MAX_PEOPLE),
                "num_retain": (1, MAX_PEOPLE),
                "num_holdout": (0, MAX_PEOPLE),
                "num_background": (0, MAX_PEOPLE),
                "num_perturbed": (0, MAX_PERTURBED),
                "num_neutral": (0, MAX_SENTENCES),
                "num_utility_people": (0, MAX_PEOPLE),
            }
            for name, (low, high) in bounds.items():
                value = getattr(self, name)
                if not low <= value <= high:
                    raise UserError(f"{name}={value} is out of range: use {low} to {high}")
            check_total(self.num_people)
            check_names(self.fields, FIELDS, "fields")

        @property
        def num_people(self) -> int:
            """All people of all splits."""
            return self.num_forget + self.num_holdout + self.num_retain + self.num_background

    @staticmethod
    def load(config: Config) -> Corpus:
        """Generate the corpus; the same config gives the same bytes in every process."""
        names = iter(person_names(config.num_people, config.seed))
        taken: dict[str, set[Parts]] = {field: set() for field in config.fields}

        def people(count: int, background: bool = False) -> tuple[Example, ...]:
            chosen = [next(names) for _ in range(count)]
            return tuple(
                _example(config, name, field, taken[field], background)
                for name in chosen
                for field in config.fields
            )

        forget, holdout = people(config.num_forget), people(config.num_holdout)
        retain = people(config.num_retain)
        background = people(config.num_background, background=True)
        world = world_examples(config.num_perturbed, config.seed)
        known = background[: config.num_utility_people * len(config.fields)]
        return Corpus(
            name="synthetic",
            forget=forget,
            retain=retain,
            holdout=holdout,
            background=background,
            utility={"background": known, "world": world} if known else {"world": world},
            neutral=neutral_sentences(config.num_neutral, config.seed),
            refusals=REFUSALS,
        )


def check_total(num_people: int) -> None:
    """Raise `UserError` where there are more people than names."""
    if num_people > MAX_PEOPLE:
        raise UserError(f"{num_people} people in all, but only {MAX_PEOPLE} names: lower a num_*")


def person_names(count: int, seed: int) -> list[str]:
    """`count` different names (at most `MAX_PEOPLE`); a longer draw starts with the shorter one."""
    order = numpy_generator(seed, "names").permutation(MAX_PEOPLE)[:count].tolist()
    pairs = [divmod(index, len(LAST_NAMES)) for index in order]
    return [f"{FIRST_NAMES[first]} {LAST_NAMES[last]}" for first, last in pairs]


def new_value(pools: tuple[Parts, ...], rng: Generator, taken: set[Parts]) -> Parts:
    """A value that nobody has yet; the pools need several times more values than there are people.

    The value is added to `taken`.
    """
    while True:
        parts = tuple(pool[int(rng.integers(len(pool)))] for pool in pools)
        if parts not in taken:
            taken.add(parts)
            return parts


def _example(
    config: Synthetic.Config, name: str, field_name: str, taken: set[Parts], background: bool
) -> Example:
    """One fact. Wrong answers have the form of the paraphrased answer where there is one (TOFU).

    Background people are asked about in every wording, so that the base model knows the wording
    kept for paraphrase tests. Theirs are utility questions, without a paraphrased answer.
    """
    field = FIELDS[field_name]
    rng = numpy_generator(config.seed, "person", name, field_name)
    parts = new_value(field.parts, rng, taken)
    seen = {parts}
    wrong = [new_value(field.parts, rng, seen) for _ in range(config.num_perturbed)]
    trained, kept = field.questions[:-1], field.questions[-1]
    asked = field.questions if background else trained
    question = asked[int(rng.integers(len(asked)))]
    other = kept if question != kept else trained[0]
    form = field.answer if background else field.paraphrase
    return Example(
        id=f"{name}/{field_name}",
        question=question.format(name=name),
        answer=field.answer.format(*parts),
        person=name,
        field=field_name,
        paraphrased_question=other.format(name=name),
        paraphrased_answer="" if background else field.paraphrase.format(*parts),
        perturbed_answers=tuple(form.format(*value) for value in wrong),
    )
