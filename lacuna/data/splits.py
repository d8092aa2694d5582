"""Who is forgotten, retained, tuned on and relearned from (LACUNA's protocol).

People are divided into groups, each of which is injected into a mask of its own. A fact is drawn
into a split only if the injected model answers at least two different prompts for it
(`lacuna.evaluate.memorised`). Forget and retain facts are of different fields: with the same field
on both sides the published unlearning collapsed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from lacuna.data.base import Example
from lacuna.data.generated.profile_texts import ProfileTexts
from lacuna.errors import UserError
from lacuna.seeds import derive, numpy_generator

Recalled = Mapping[str, Sequence[str]]
"""Fact (`Example.id`) -> the prompts that the injected model answers right."""

_TRAINED_ONLY: dict[str, Any] = {"paraphrased_question": "", "perturbed_answers": ()}
WAY_OUT = "ask for fewer, or inject more people, or longer"


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """Which memorised facts a study works on; the defaults are LACUNA's."""

    forget_field: str | None = "birth_city"
    """The field to forget; null takes all fields."""
    retain_field: str | None = "email"
    """The field to retain, another one; null takes all fields."""
    people: int = 100
    """People on each side (>= 1)."""
    validation_fields: tuple[str, ...] = ("licence", "email")
    """Fields to tune on: each is forgotten once, and the next one in the list retained. Every rate
    of a search is tried on each, in the injected models of the tuning seeds; tests never see them.
    """
    validation_people: int = 100
    """People on each side for every validation field, apart from the main ones. 0: none, rates are
    searched on the main facts of the tuning seeds."""
    min_prompts: int = 2
    """Different prompts answered right that make a fact memorised (>= 2: a question, another)."""

    def __post_init__(self) -> None:
        if self.people < 1 or self.validation_people < 0:
            raise UserError("splits need people >= 1 and validation_people >= 0")
        if self.min_prompts < 2:
            raise UserError(f"min_prompts={self.min_prompts}: a paraphrase needs a second, use 2")
        if self.forget_field is not None and self.forget_field == self.retain_field:
            raise UserError(
                f"forget_field and retain_field are both {self.forget_field!r}: name two fields"
            )
        if self.validation_people and len(set(self.validation_fields)) < 2:
            raise UserError("validation needs 2 fields, or validation_people=0")

    @property
    def tuned_on(self) -> tuple[str, ...]:
        """The validation fields in use."""
        return self.validation_fields if self.validation_people else ()

    @property
    def needed(self) -> set[str]:
        """Every field that the configuration names for some split."""
        named = (self.forget_field, self.retain_field, *self.tuned_on)
        return {field for field in named if field is not None}


@dataclass(frozen=True)
class Side:
    """Forget and retain facts of disjoint people; `paraphrased_question` is a memorised prompt."""

    forget: tuple[Example, ...]
    retain: tuple[Example, ...]

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Side":
        """The side that was written by `asdict` and read from JSON."""
        return cls(_examples(plain["forget"]), _examples(plain["retain"]))


@dataclass(frozen=True)
class Splits:
    """Facts by their use. Nobody is in two of `main`, `validation` and `relearn`."""

    main: Side
    validation: Mapping[str, Side]
    """Forgotten field -> its facts."""
    relearn: tuple[Example, ...]
    """Every memorised prompt of everybody else, for the attacker to train on."""

    def to_json(self) -> dict[str, object]:
        """JSON values with the facts themselves, so that no corpus is needed to read them."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Splits":
        """The splits that `to_json` gave."""
        return cls(
            main=Side.from_json(plain["main"]),
            validation={field: Side.from_json(s) for field, s in plain["validation"].items()},
            relearn=_examples(plain["relearn"]),
        )


def _examples(plain: Sequence[Mapping[str, Any]]) -> tuple[Example, ...]:
    return tuple(
        Example(**{**item, "perturbed_answers": tuple(item["perturbed_answers"])}) for item in plain
    )


def group_of(people: Iterable[str], groups: int, seed: int) -> dict[str, int]:
    """Person -> group: people shuffled with the mask seed, the i-th into group i mod `groups`."""
    names = sorted(set(people))
    order = numpy_generator(seed, "groups").permutation(len(names)).tolist()
    return {names[place]: i % groups for i, place in enumerate(order)}


def by_groups(
    book: ProfileTexts, groups: int, forget_groups: Sequence[int], seed: int, num_perturbed: int = 3
) -> Side:
    """All facts: forget of the people in `forget_groups`, retain of the others."""
    found = group_of(book.known, groups, seed)
    forget = {person for person, group in found.items() if group in forget_groups}
    everything = facts(book, num_perturbed)
    return Side(
        tuple(item for item in everything if item.person in forget),
        tuple(item for item in everything if item.person not in forget),
    )


def facts(book: ProfileTexts, num_perturbed: int = 3) -> list[Example]:
    """Every fact of the book, person by person."""
    return [
        fact(book, person, field, num_perturbed)
        for person, known in book.known.items()
        for field in known
    ]


def fact(book: ProfileTexts, person: str, field: str, num_perturbed: int = 3) -> Example:
    """A fact asked by its first trained prompt; the paraphrase is never trained on. Wrong answers
    are other people's values of the field."""
    answer = book.known[person][field]
    values = book.values[field]
    rng = numpy_generator(book.seed, "wrong", person, field)
    drawn = [values[place] for place in rng.permutation(len(values))[: num_perturbed + 1]]
    wrong = [value for value in drawn if value != answer]
    return Example(
        id=f"{person}/{field}",
        question=book.asked(person, field, 1)[0],
        answer=answer,
        person=person,
        field=field,
        paraphrased_question=book.kept(person, field)[0],
        perturbed_answers=tuple(wrong[:num_perturbed]),
    )


def draw_splits(
    facts: Sequence[Example],
    recalled: Recalled,
    groups: Mapping[str, int],
    forget_groups: Sequence[int],
    config: SplitConfig,
    seed: int,
) -> Splits:
    """Draw all splits from the memorised among `facts`.

    People of `forget_groups` are forgotten, those of the other groups retained. People memorised
    for all wanted fields come first, then those for most of them, so that sets of different fields
    overlap; within that, order by `seed`, evenly over each side's groups. It also decides which
    memorised prompt is asked and which is the paraphrase. Raises `UserError` where too few are
    memorised, or nobody is left to relearn from.
    """
    known = {
        item.id: item for item in facts if len(set(recalled.get(item.id, ()))) >= config.min_prompts
    }
    draw = _Draw(known, recalled, groups, forget_groups, config, seed)
    main = draw.side(config.forget_field, config.retain_field, config.people, "people")
    validation = {}
    draw.taken |= {item.person for item in (*main.forget, *main.retain)}
    fields = config.tuned_on
    for place, field in enumerate(fields):
        other = fields[(place + 1) % len(fields)]
        validation[field] = draw.side(field, other, config.validation_people, "validation_people")
    sides = [main, *validation.values()]
    used = {item.person for side in sides for item in (*side.forget, *side.retain)}
    relearn = tuple(
        replace(item, id=f"{item.id}/{place}", question=prompt, **_TRAINED_ONLY)
        for item in known.values()
        if item.person not in used
        for place, prompt in enumerate(recalled[item.id])
    )
    if not relearn:
        raise UserError(
            f"people={config.people} validation_people={config.validation_people}: nobody with a "
            f"memorised fact is left to relearn from: {WAY_OUT}"
        )
    return Splits(main, validation, relearn)


class _Draw:
    """Draws people, each at most once."""

    def __init__(
        self,
        known: Mapping[str, Example],
        recalled: Recalled,
        groups: Mapping[str, int],
        forget_groups: Sequence[int],
        config: SplitConfig,
        seed: int,
    ) -> None:
        self.recalled, self.groups, self.config, self.seed = recalled, groups, config, seed
        present = sorted(set(groups.values()))
        self.sides = {
            "forget": [group for group in present if group in forget_groups],
            "retain": [group for group in present if group not in forget_groups],
        }
        self.taken: set[str] = set()
        self.fields: dict[str, dict[str, Example]] = {}
        for item in known.values():
            self.fields.setdefault(item.person, {})[item.field] = item
        wanted = {config.forget_field, config.retain_field, *config.validation_fields} - {None}
        self.wanted = {p: len(wanted & found.keys()) for p, found in self.fields.items()}

    def side(self, forget: str | None, retain: str | None, count: int, option: str) -> Side:
        """`count` people of the forget groups and as many of the others, with one field each."""
        return Side(
            self._facts("forget", forget, count, option),
            self._facts("retain", retain, count, option),
        )

    def _facts(self, split: str, field: str | None, count: int, option: str) -> tuple[Example, ...]:
        people = self._people(self.sides[split], field)
        if len(people) < count:
            raise UserError(
                f"{option}={count}: only {len(people)} people of the {split} groups have a "
                f"memorised {field or 'fact'} (at least {self.config.min_prompts} prompts right): "
                f"{WAY_OUT}"
            )
        return tuple(
            self._asked(item)
            for person in people[:count]
            for name, item in self.fields[person].items()
            if field in (None, name)
        )

    def _people(self, groups: Sequence[int], field: str | None) -> list[str]:
        """Free people of `groups` who have the field, in the order in which they are taken: each
        round takes the best left of every group."""
        ranked = []
        for group in groups:
            free = [
                person
                for person in sorted(self.fields)
                if self.groups[person] == group
                and person not in self.taken
                and (field is None or field in self.fields[person])
            ]
            seed = derive(self.seed, "draw", group)
            free.sort(key=lambda person: (-self.wanted[person], derive(seed, person)))
            ranked += [(place, group, person) for place, person in enumerate(free)]
        return [person for _, _, person in sorted(ranked)]

    def _asked(self, item: Example) -> Example:
        """The fact with one of its memorised prompts, and another as the paraphrase."""
        prompts = sorted(set(self.recalled[item.id]))
        rng = numpy_generator(self.seed, "main", item.id)
        first, second = rng.permutation(len(prompts))[:2].tolist()
        return replace(item, question=prompts[first], paraphrased_question=prompts[second])
