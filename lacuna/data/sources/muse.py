"""MUSE: questions about news or books to forget and to keep (Shi et al., 2024, arXiv:2407.06460).

Read are the questions of its subset `knowmem`, splits `forget_qa` and `retain_qa`. They name no
people, so each question is a person of its own. Tried on invented files of that form, not on the
published ones.
"""

from dataclasses import dataclass
from pathlib import Path

from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.generated.refusals import REFUSALS
from lacuna.data.rows import Row, hub_rows
from lacuna.data.tables import split_rows


@DATA.register("muse")
class Muse(Source):
    """The questions of MUSE-News or MUSE-Books, from a local folder or the hub."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Where the files are."""

        path: str | None = None
        """Folder with `knowmem`, which has `forget_qa` and `retain_qa`; None reads the hub."""
        hub: str = "muse-bench/MUSE-News"
        """Data set on the hub; muse-bench/MUSE-Books is the other."""
        revision: str | None = None
        """Commit of the hub data set; None takes its newest."""

    @staticmethod
    def load(config: Config) -> Corpus:
        """Read the corpus; people are `forget_qa-000`, ..., the field of all is `fact`."""
        name = Path(config.path).name if config.path else config.hub.rpartition("/")[2]
        return Corpus(
            name=name.lower(),
            forget=_examples(config, "forget_qa"),
            retain=_examples(config, "retain_qa"),
            refusals=REFUSALS,
        )


def _rows(config: Muse.Config, split: str) -> list[Row]:
    if config.path is None:
        return hub_rows(config.hub, config.revision, "knowmem", split)
    return split_rows(Path(config.path), split)


def _examples(config: Muse.Config, split: str) -> tuple[Example, ...]:
    return tuple(
        Example(
            id=f"{split}-{number:03d}/fact",
            question=row.text("question"),
            answer=row.text("answer"),
            person=f"{split}-{number:03d}",
            field="fact",
        )
        for number, row in enumerate(_rows(config, split))
    )
