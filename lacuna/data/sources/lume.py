"""LUME Task 2: synthetic people with five private fields each (Ramakrishna et al., 2025).

Rows have `id`, `input`, `output` and `task`. An id is a person's UUID followed by `qa0` to `qa4`
(questions) or `sc1` (a sentence to complete); tasks 1 and 3 are left out.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.generated.refusals import REFUSALS
from lacuna.data.rows import Row, hub_rows, of_people, required_rows
from lacuna.errors import UserError
from lacuna.registry import suggest
from lacuna.seeds import numpy_generator

TASK = "Task2"
KINDS = ("qa", "sc")
SENTENCE = "sentence"
"""The field of a sentence to complete."""

_ID = re.compile(r"(?P<person>.+?)(?P<kind>qa|sc)\d+")

QUESTIONS: dict[str, tuple[str, str]] = {
    "birth_date": (
        r"What is the birth date of (.+)\?",
        "On which day was {name} born?",
    ),
    "ssn": (
        r"What is (.+?)'s? Social Security Number\?",
        "Which Social Security Number does {name} have?",
    ),
    "phone": (
        r"What is (.+?)'s? phone number\?",
        "At which phone number can {name} be called?",
    ),
    "email": (
        r"What is (.+?)'s? email address\?",
        "To which email address does one write to reach {name}?",
    ),
    "address": (
        r"What is the home address of (.+)\?",
        "At which address does {name} live?",
    ),
}
"""Maps a field to the pattern of its question and to our own other wording of it."""


@DATA.register("lume")
class Lume(Source):
    """The public data set, from a local folder or the hub."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Where the files are, and which part of them to use."""

        path: str | None = None
        """Folder with `forget.jsonl` and `retain.jsonl`; None reads `hub`."""
        hub: str | None = None
        """A hub data set with splits `forget` and `retain`; read only if `path` is None."""
        revision: str | None = None
        """Commit of the hub data set; None takes its newest."""
        kinds: tuple[str, ...] = ("qa",)
        """Kinds of rows: "qa" questions, "sc" sentences to complete."""
        forget_people: int | None = None
        """Keep the first so many forget people in file order (>= 1); None keeps all."""
        retain_people: int | None = None
        """Keep the first so many retain people in file order (>= 1); None keeps all."""
        background_people: int = 0
        """Further retain people, whose facts teach the embedded model its language (>= 0)."""
        holdout_people: int = 0
        """Further retain people, whose facts no model is ever trained on (>= 0; membership tests).
        """
        num_perturbed: int = 3
        """Wrong answers per question (>= 0): the same field of other people of the split."""
        seed: int = 0
        """Seed from which wrong answers are drawn."""

        def __post_init__(self) -> None:
            for name in ("forget_people", "retain_people"):
                value = getattr(self, name)
                if value is not None and value < 1:
                    raise UserError(f"{name}={value} keeps nothing: use 1 or more, or null for all")
            for name in ("background_people", "holdout_people"):
                if getattr(self, name) < 0:
                    raise UserError(f"{name}={getattr(self, name)}: use 0 or more")
            if self.num_perturbed < 0:
                raise UserError(f"num_perturbed={self.num_perturbed} is negative: use 0 or more")
            if not self.kinds:
                raise UserError(f"kinds=() leaves no rows: choose from {', '.join(KINDS)}")
            for kind in self.kinds:
                if kind not in KINDS:
                    raise UserError(f"unknown kind {kind!r}{suggest(kind, list(KINDS))}")

    @staticmethod
    def load(config: Config) -> Corpus:
        """Read the corpus; a person is the UUID that their rows share."""
        (forget,) = of_people(_split(config, "forget"), forget_people=config.forget_people)
        retain, background, holdout = of_people(
            _split(config, "retain"),
            retain_people=config.retain_people,
            background_people=config.background_people,
            holdout_people=config.holdout_people,
        )
        return Corpus(
            name="lume",
            forget=forget,
            retain=retain,
            holdout=holdout,
            background=background,
            refusals=REFUSALS,
        )


def _rows(config: Lume.Config, split: str) -> list[Row]:
    if config.path is not None:
        return required_rows(Path(config.path), split)
    if config.hub is not None:
        return hub_rows(config.hub, config.revision, None, split)
    raise UserError(
        "lume has no default place: set data.path to a folder with forget.jsonl and retain.jsonl"
    )


def _split(config: Lume.Config, split: str) -> tuple[Example, ...]:
    rows = [row for row in _rows(config, split) if row.text("task") == TASK]
    examples = [example for row in rows if (example := _example(config, row))]
    values: dict[str, list[str]] = {}
    for example in examples:
        values.setdefault(example.field, []).append(example.answer)
    # Wrong answers come from the whole split, so that a cut leaves the people it keeps unchanged.
    others = {field: list(dict.fromkeys(answers)) for field, answers in values.items()}
    return tuple(_with_wrong(config, example, others[example.field]) for example in examples)


def _example(config: Lume.Config, row: Row) -> Example | None:
    """The row as an example without wrong answers, or None if its kind is not wanted."""
    match = _ID.fullmatch(row.text("id"))
    if match is None:
        raise UserError(f"{row.where}: id {row.text('id')!r} does not end in qa or sc and a number")
    if match["kind"] not in config.kinds:
        return None
    question, person = row.text("input"), match["person"]
    field, paraphrase = (SENTENCE, "") if match["kind"] == "sc" else _recognise(row, question)
    return Example(
        id=f"{person}/{field}",
        question=question,
        answer=row.text("output"),
        person=person,
        field=field,
        paraphrased_question=paraphrase,
    )


def _recognise(row: Row, question: str) -> tuple[str, str]:
    """The field that a question asks for, and our other wording of it."""
    for field, (pattern, paraphrase) in QUESTIONS.items():
        if match := re.fullmatch(pattern, question):
            return field, paraphrase.format(name=match[1])
    raise UserError(
        f"{row.where}: {question[:60]!r} asks for no known field: use LUME as published"
    )


def _with_wrong(config: Lume.Config, example: Example, values: list[str]) -> Example:
    # Sentences are cut at different places: another's ending is no wrong answer of the same form.
    if example.field == SENTENCE:
        return example
    wrong = [value for value in values if value != example.answer]
    rng = numpy_generator(config.seed, "lume", example.id)
    chosen = rng.permutation(len(wrong))[: config.num_perturbed]
    return replace(example, perturbed_answers=tuple(wrong[index] for index in chosen))
