"""A user's own facts in a table: a JSON array, CSV, TSV or parquet; columns as of `data=jsonl`."""

from dataclasses import dataclass
from pathlib import Path

from lacuna.data.base import DATA, Corpus, Source
from lacuna.data.sources.jsonl import corpus_of
from lacuna.data.tables import read_table
from lacuna.errors import UserError


@DATA.register("table")
class Table(Source):
    """Facts from a user's table: JSON array, CSV, TSV, parquet, or JSON lines."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Where the facts are."""

        path: str = ""
        """The file, whose name says what it is: .json, .csv, .tsv, .parquet, .jsonl (required)."""

        def __post_init__(self) -> None:
            if not self.path:
                raise UserError("data 'table' needs a file: set data.path=FILE.csv")

    @staticmethod
    def load(config: Config) -> Corpus:
        """Read the corpus, with the columns and defaults of `data=jsonl`."""
        return corpus_of(Path(config.path), read_table(Path(config.path)))
