"""RWKU: real people to forget, and what is known around them (Jin et al., 2024, arXiv:2406.10890).

Read are the probes `forget_level1` (sentences to fill in), `forget_level2` (questions) and
`forget_level3` (attacks), and, to be kept, `neighbor_level1` and `neighbor_level2`. The models of
the hub know these facts already: with them, a study plants what was there before. Tried on
invented files of that form, not on the published ones.
"""

from dataclasses import dataclass
from pathlib import Path

from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.generated.refusals import REFUSALS
from lacuna.data.rows import Row, hub_rows
from lacuna.data.tables import split_rows
from lacuna.errors import UserError

NEIGHBOURS = (1, 2)
"""Levels that the probes to be kept have."""


@DATA.register("rwku")
class Rwku(Source):
    """The probes of RWKU, from a local folder or the hub."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Where the files are, and which probes to use."""

        path: str | None = None
        """Folder with `forget_level2`, `neighbor_level2`, ...; None reads the hub."""
        levels: tuple[int, ...] = (2,)
        """Levels of probes: 1 sentences to fill in, 2 questions, 3 attacks (to forget only)."""
        hub: str = "jinzhuoran/RWKU"
        """Data set on the hub."""
        revision: str | None = None
        """Commit of the hub data set; None takes its newest."""

        def __post_init__(self) -> None:
            if not set(self.levels) & set(NEIGHBOURS) or not set(self.levels) <= {1, 2, 3}:
                raise UserError(
                    f"levels={list(self.levels)}: choose from 1, 2 and 3, 1 or 2 among them"
                )

    @staticmethod
    def load(config: Config) -> Corpus:
        """Read the corpus; a person is a probe's subject, its fields are numbered."""
        forget = _examples(config, "forget", config.levels)
        kept = tuple(level for level in config.levels if level in NEIGHBOURS)
        retain = _examples(config, "neighbor", kept)
        return Corpus(name="rwku", forget=forget, retain=retain, refusals=REFUSALS)


def _examples(config: Rwku.Config, side: str, levels: tuple[int, ...]) -> tuple[Example, ...]:
    found = []
    for level in levels:
        name = f"{side}_level{level}"
        for number, row in enumerate(_rows(config, name)):
            person, field = row.label("subject", f"{side}-{number:05d}"), f"{level}-{number:05d}"
            found.append(
                Example(
                    id=f"{side}/{person}/{field}",
                    question=row.text("query"),
                    answer=row.text("answer"),
                    person=person,
                    field=field,
                )
            )
    return tuple(found)


def _rows(config: Rwku.Config, name: str) -> list[Row]:
    if config.path is None:
        return hub_rows(config.hub, config.revision, name, "test")
    return split_rows(Path(config.path), name)
