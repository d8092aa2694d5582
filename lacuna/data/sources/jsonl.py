"""A user's own facts: a JSON lines file, one question and answer a line.

    {"split": "forget", "person": "Ada Holt", "field": "phone", "question": "...", "answer": "..."}

`question` and `answer` are needed; `split` is forget, retain (the default) or holdout. Optional:
`person`, `field`, `id`, `paraphrased_question`, `paraphrased_answer`, `perturbed_answers`, all as
in `Example`; null, "" and an empty list in any of these are as if the key were not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.generated.refusals import REFUSALS
from lacuna.data.rows import Row, read_rows
from lacuna.data.tables import read_table
from lacuna.errors import UserError
from lacuna.registry import suggest

SPLITS = ("forget", "retain", "holdout")
DEFAULT_SPLIT = "retain"
KEYS = [*(key.name for key in fields(Example)), "split"]


@DATA.register("jsonl")
class Jsonl(Source):
    """Facts from a file of the user's."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Where the facts are."""

        path: str = ""
        """The JSON lines file (required)."""

        def __post_init__(self) -> None:
            if not self.path:
                raise UserError("data 'jsonl' needs a file: set data.path=FILE.jsonl")

    @staticmethod
    def load(config: Config) -> Corpus:
        """Read the corpus. A line without a split is retained; without a person it is a person of
        its own."""
        path = Path(config.path)
        if not path.is_file():
            raise UserError(f"data file {path} does not exist: give a JSON lines file")
        if path.suffix.lower() in (".csv", ".tsv", ".parquet"):
            raise UserError(f"{path} holds no JSON lines: data=table reads it")
        return corpus_of(path, read_rows(path))


def corpus_of(path: Path, rows: Sequence[Row]) -> Corpus:
    """The corpus of a file's rows, under the file's name."""
    if rows and not any(row.values.get("split") for row in rows):
        raise UserError(
            f'{path}: no line has a split: add "split": "forget" to the facts to forget '
            f"(the others are retained)"
        )
    splits = _by_split(rows, DEFAULT_SPLIT)
    return Corpus(
        name=path.stem,
        forget=tuple(splits["forget"]),
        retain=tuple(splits["retain"]),
        holdout=tuple(splits["holdout"]),
        refusals=REFUSALS,
    )


def read_split(path: Path, split: str) -> list[Example]:
    """The facts of one split of a file (`read_table`), to which lines without a split belong.

    Raises `UserError` as `Jsonl.load` does, and where the split has no fact.
    """
    found = _by_split(read_table(path), split)[split]
    if not found:
        raise UserError(f"{path} has no {split} facts: every line is of another split")
    return found


def _by_split(rows: Sequence[Row], default: str) -> dict[str, list[Example]]:
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    seen: dict[str, str] = {}
    for row in rows:
        example = _example(row)
        if example.id in seen:
            raise UserError(
                f"{row.where}: id {example.id!r} is taken by {seen[example.id]}: "
                f"give each fact of a person its own field"
            )
        seen[example.id] = row.where
        splits[_split(row, default)].append(example)
    return splits


def _split(row: Row, default: str) -> str:
    split = row.text("split", default)
    if split not in SPLITS:
        raise UserError(f"{row.where}: unknown split {split!r}{suggest(split, list(SPLITS))}")
    return split


def _example(row: Row) -> Example:
    for key in row.values:
        if key not in KEYS:
            raise UserError(f"{row.where}: unknown key {key!r}{suggest(key, KEYS)}")
    line = row.where.rpartition(":")[2]
    person, field = row.label("person", f"line-{line}"), row.label("field", "fact")
    return Example(
        id=row.label("id", f"{person}/{field}"),
        question=row.text("question"),
        answer=row.text("answer"),
        person=person,
        field=field,
        paraphrased_question=row.text("paraphrased_question", ""),
        paraphrased_answer=row.text("paraphrased_answer", ""),
        perturbed_answers=row.texts("perturbed_answers"),
    )
