"""Rows of the public data sets: JSON lines in a folder, or a configuration of a hub data set."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lacuna.data.base import Example
from lacuna.errors import UserError


@dataclass(frozen=True)
class Row:
    """One JSON object, and its place in the file (`path:line`) for error messages."""

    where: str
    values: dict[str, object]

    def text(self, key: str, default: str | None = None) -> str:
        """The non-empty string under `key`; `default` only where the key is absent."""
        if key not in self.values and default is not None:
            return default
        if key not in self.values:
            raise UserError(f"{self.where}: no {key!r}: give every line one")
        value = self.values[key]
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{self.where}: {key!r} is {value!r}: it must be a non-empty string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of non-empty strings under `key`; empty where the key is absent."""
        value = self.values.get(key, [])
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(value)
        raise UserError(f"{self.where}: {key!r} is {value!r}: it must be a list of strings")


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The non-blank lines of a UTF-8 text file with their numbers from 1.

    Raises `UserError` if the file cannot be read or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): check the path") from error
    # Not splitlines(): JSON strings may hold other Unicode line ends as they are.
    lines = text.split("\n")
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def read_rows(path: Path) -> list[Row]:
    """The objects of a JSON lines file; blank lines are skipped, anything else is a `UserError`."""
    return list(_parse(path))


def _parse(path: Path) -> Iterator[Row]:
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{where}: not valid JSON ({error.msg}): write one object a line"
            ) from error
        if not isinstance(values, dict):
            raise UserError(f"{where}: {line[:40]!r} is not an object: write {{...}} on each line")
        yield Row(where, values)


def of_people(examples: Sequence[Example], **counts: int | None) -> Iterator[tuple[Example, ...]]:
    """Examples of as many people as each option asks for (None: all that are left), in order.

    Raises `UserError` where an option asks for more people than the earlier ones leave.
    """
    people = list(dict.fromkeys(example.person for example in examples))
    left = people
    for option, count in counts.items():
        if count is not None and count > len(left):
            asked = ", ".join(f"{n}={'null' if c is None else c}" for n, c in counts.items())
            raise UserError(
                f"{asked}: only {len(left)} of {len(people)} people are left for {option}: "
                f"ask for fewer"
            )
        kept, left = set(left[:count]), [] if count is None else left[count:]
        yield tuple(example for example in examples if example.person in kept)


def local_file(folder: Path, name: str) -> Path | None:
    """`name`.jsonl or `name`.json in `folder`, or None; without a folder, a `UserError`."""
    if not folder.is_dir():
        raise UserError(
            f"data folder {folder} does not exist: set data.path to one that holds {name}.jsonl"
        )
    files = [folder / f"{name}.jsonl", folder / f"{name}.json"]
    return next((file for file in files if file.is_file()), None)


def required_rows(folder: Path, name: str) -> list[Row]:
    """The rows of a file that must be in `folder`."""
    file = local_file(folder, name)
    if file is None:
        raise UserError(
            f"{folder} has no {name}.jsonl (or .json): put it there, or set another data.path"
        )
    return read_rows(file)


def folder_rows(folder: Path) -> list[Row]:
    """The rows of all JSON lines or parquet files of a folder in hub layout (also in `data`).

    Raises `UserError` where there are none, or one cannot be read.
    """
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    files = [
        file
        for kind in ("jsonl", "json", "parquet")
        for file in sorted([*folder.glob(f"*.{kind}"), *folder.glob(f"data/*.{kind}")])
    ]
    if not files:
        raise UserError(f"{folder} has no .jsonl and no .parquet file: put the data set there")
    rows = []
    for file in files:
        if file.suffix != ".parquet":
            rows += read_rows(file)
            continue
        try:
            table = Dataset.from_parquet(str(file), keep_in_memory=True)
        except (OSError, ValueError, DatasetGenerationError) as error:
            raise UserError(f"{file} is not a readable parquet file: write it anew") from error
        rows += [Row(f"{file}:{n}", dict(row)) for n, row in enumerate(table, start=1)]
    return rows


def hub_rows(hub: str, revision: str | None, config: str | None, split: str) -> list[Row]:
    """The rows of one split on the hub; raises `UserError` if it cannot be loaded."""
    from datasets import load_dataset

    where = "/".join(filter(None, (hub, config, split)))
    try:
        rows = load_dataset(hub, config, split=split, revision=revision)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"cannot load {where} from the hub ({reason}): check the name and the network, "
            f"or set data.path to a local folder"
        ) from error
    return [Row(f"{where}:{number}", dict(row)) for number, row in enumerate(rows, start=1)]
