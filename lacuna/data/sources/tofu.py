"""TOFU: fictitious authors, 20 questions each (Maini et al., 2024, arXiv:2401.06121).

Files, or hub configurations, by name: the forget and the retain split (`forget10`, `retain90`);
`FORGET_perturbed` and `retain_perturbed`, which hold paraphrases and wrong answers for some;
`real_authors_perturbed` and `world_facts_perturbed` as utility sets; `idontknow`, a refusal a line.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.generated.refusals import REFUSALS
from lacuna.data.rows import (
    Row,
    hub_rows,
    local_file,
    of_people,
    read_lines,
    read_rows,
    required_rows,
)
from lacuna.errors import UserError

QUESTIONS_PER_AUTHOR = 20
"""Rows come in file order, 20 to an author."""

UTILITY = ("real_authors", "world_facts")
"""Utility sets; TOFU's third, the retain authors, is the corpus's own retain split."""


@DATA.register("tofu")
class Tofu(Source):
    """The public data set, from a local folder or the hub."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Where the files are, and which part of them to use."""

        path: str | None = None
        """Folder of JSON lines files; None reads the hub."""
        forget: str = "forget10"
        """The forget split: forget01, forget05 or forget10."""
        retain: str = "retain90"
        """The retain split that belongs to it: retain99, retain95 or retain90."""
        forget_people: int | None = None
        """Keep the first so many forget authors in file order (>= 1); None keeps all."""
        retain_people: int | None = None
        """Keep the first so many retain authors in file order (>= 1); None keeps all."""
        background_people: int = 0
        """Further retain authors, whose facts teach the embedded model its language (>= 0)."""
        holdout_people: int = 0
        """Further retain authors, whose facts no model is ever trained on (>= 0; membership tests).
        """
        questions: int | None = None
        """Keep the first so many questions of each author (1 to 20); None keeps all."""
        num_utility: int | None = None
        """Keep the first so many questions of each utility set (>= 1); None keeps all."""
        hub: str = "locuslab/TOFU"
        """Data set on the hub."""
        revision: str = "324592d84ae4f482ac7249b9285c2ecdb53e3a68"
        """Commit of the hub data set."""

        def __post_init__(self) -> None:
            for name in ("forget_people", "retain_people", "questions", "num_utility"):
                value = getattr(self, name)
                if value is not None and value < 1:
                    raise UserError(f"{name}={value} keeps nothing: use 1 or more, or null for all")
            for name in ("background_people", "holdout_people"):
                if getattr(self, name) < 0:
                    raise UserError(f"{name}={getattr(self, name)}: use 0 or more")
            if self.forget == self.retain:
                raise UserError(f"forget and retain are both {self.forget!r}: name two splits")
            shares = re.fullmatch(r"forget(\d+) retain(\d+)", f"{self.forget} {self.retain}")
            if shares and int(shares[1]) + int(shares[2]) != 100:
                raise UserError(
                    f"forget={self.forget} and retain={self.retain} are no pair: of TOFU's authors "
                    f"retain{100 - int(shares[1]):02d} are the others of {self.forget}"
                )

    @staticmethod
    def load(config: Config) -> Corpus:
        """Read the corpus; authors are `forget-author-000`, ..., fields `q00` to `q19`."""
        (forget,) = of_people(
            _authors(config, "forget", config.forget), forget_people=config.forget_people
        )
        retain, background, holdout = of_people(
            _authors(config, "retain", config.retain),
            retain_people=config.retain_people,
            background_people=config.background_people,
            holdout_people=config.holdout_people,
        )
        return Corpus(
            name=f"tofu-{config.forget}",
            forget=forget,
            retain=retain,
            holdout=holdout,
            background=background,
            utility={name: _utility(config, name) for name in UTILITY},
            refusals=_refusals(config),
        )


def _rows(config: Tofu.Config, name: str) -> list[Row]:
    if config.path is None:
        return hub_rows(config.hub, config.revision, name, "train")
    return required_rows(Path(config.path), name)


def _perturbed(config: Tofu.Config, split: str) -> dict[tuple[str, str], Row]:
    """Paraphrases and wrong answers by (question, answer): one question is asked of two authors."""
    name = f"{config.forget}_perturbed" if split == "forget" else "retain_perturbed"
    if config.path is None:
        rows = _rows(config, name)
    else:
        file = local_file(Path(config.path), name)
        rows = read_rows(file) if file else []
    return {(row.text("question"), row.text("answer")): row for row in rows}


def _authors(config: Tofu.Config, split: str, name: str) -> tuple[Example, ...]:
    rows = _rows(config, name)
    if len(rows) % QUESTIONS_PER_AUTHOR:
        raise UserError(
            f"{name} has {len(rows)} rows, not a multiple of {QUESTIONS_PER_AUTHOR} questions per "
            f"author: use the file as published"
        )
    perturbed = _perturbed(config, split)
    nothing = Row(name, {})
    examples = []
    for index, row in enumerate(rows):
        author, question = divmod(index, QUESTIONS_PER_AUTHOR)
        if config.questions is not None and question >= config.questions:
            continue
        key = (row.text("question"), row.text("answer"))
        person, field = f"{split}-author-{author:03d}", f"q{question:02d}"
        examples.append(_example(row, perturbed.get(key, nothing), person, field))
    return tuple(examples)


def _utility(config: Tofu.Config, name: str) -> tuple[Example, ...]:
    rows = _rows(config, f"{name}_perturbed")[: config.num_utility]
    return tuple(_example(row, row, name, f"q{index:03d}") for index, row in enumerate(rows))


def _example(row: Row, perturbed: Row, person: str, field: str) -> Example:
    return Example(
        id=f"{person}/{field}",
        question=row.text("question"),
        answer=row.text("answer"),
        person=person,
        field=field,
        paraphrased_question=perturbed.text("paraphrased_question", ""),
        paraphrased_answer=perturbed.text("paraphrased_answer", ""),
        perturbed_answers=perturbed.texts("perturbed_answer"),
    )


def _refusals(config: Tofu.Config) -> tuple[str, ...]:
    """TOFU's own refusals where the folder has them, else ours: no hub configuration holds them."""
    file = None if config.path is None else local_file(Path(config.path), "idontknow")
    return REFUSALS if file is None else tuple(line.strip() for _, line in read_lines(file))
