"""Rows of the public data sets: JSON lines in a folder, or a configuration of a hub data set."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
        """The non-empty string under `key`; `default` where it is absent, null or empty."""
        value = self.values.get(key)
        if value in (None, "") and default is not None:
            return default
        if key not in self.values:
            raise UserError(f"{self.where}: no {key!r}: give every line one")
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{self.where}: {key!r} is {value!r}: it must be a non-empty string")
        return self._writable(key, value)

    def label(self, key: str, default: str) -> str:
        """The string, or whole number, under `key`; `default` where it is absent or empty."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(key, default)

    def texts(self, key: str) -> tuple[str, ...]:
        """The list of non-empty strings under `key`; empty where it is absent, null or empty."""
        value = self.values.get(key) or []
        if isinstance(value, list) and all(isinstance(item, str) and item for item in value):
            return tuple(self._writable(key, item) for item in value)
        raise UserError(f"{self.where}: {key!r} is {value!r}: it must be a list of strings")

    def _writable(self, key: str, text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UserError(
                f"{self.where}: {key!r} holds half a letter ({text[error.start]!a}): write it anew"
            ) from error
        return text


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The non-blank lines of a UTF-8 text file with their numbers from 1.

    Raises `UserError` as `read_text` does.
    """
    # Not splitlines(): JSON strings may hold other Unicode line ends as they are.
    lines = read_text(path).split("\n")
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def read_text(path: Path) -> str:
    """A UTF-8 text file. Raises `UserError` if it cannot be read or is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"cannot read {path} ({error.strerror}): check the path") from error


def read_rows(path: Path) -> list[Row]:
    """The objects of a JSON lines file; blank lines are skipped, anything else is a `UserError`."""
    return list(_parse(path))


def _parse(path: Path) -> Iterator[Row]:
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        if number == 1 and line.lstrip().startswith("["):
            raise UserError(f"{where}: a JSON array, not JSON lines: data=table reads it")
        values = read_values(where, line)
        if not isinstance(values, dict):
            raise UserError(f"{where}: {line[:40]!r} is not an object: write {{...}} on each line")
        yield Row(where, values)


def read_values(where: str, text: str) -> object:
    """What a JSON text says; `UserError` where it is none, or none that Python can read."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}: " if "\n" in text else ""
        raise UserError(
            f"{where}: {line}not valid JSON ({error.msg}): write one object a line"
        ) from error
    except (ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{where}: JSON that cannot be read ({reason}): write it anew") from error


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
    files = [
        file
        for kind in ("jsonl", "json", "parquet")
        for file in sorted([*folder.glob(f"*.{kind}"), *folder.glob(f"data/*.{kind}")])
    ]
    if not files:
        raise UserError(f"{folder} has no .jsonl and no .parquet file: put the data set there")
    read = {".parquet": parquet_rows}
    return [row for file in files for row in read.get(file.suffix, read_rows)(file)]


def parquet_rows(file: Path) -> list[Row]:
    """The rows of a parquet file; `UserError` where it is damaged."""
    from datasets import Dataset
    from datasets.exceptions import DatasetGenerationError

    try:
        with silent():
            table = Dataset.from_parquet(str(file), keep_in_memory=True)
    except (OSError, ValueError, DatasetGenerationError) as error:
        raise UserError(f"{file} is not a readable parquet file: write it anew") from error
    return [Row(f"{file}:{n}", dict(row)) for n, row in enumerate(table, start=1)]


@contextmanager
def silent() -> Iterator[None]:
    """No progress bars of the datasets library."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    before = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not before:
            enable_progress_bars()


def hub_rows(hub: str, revision: str | None, config: str | None, split: str) -> list[Row]:
    """The rows of one split on the hub; raises `UserError` if it cannot be loaded."""
    from datasets import load_dataset

    where = "/".join(filter(None, (hub, config, split)))
    try:
        rows = load_dataset(hub, config, split=split, revision=revision)
    except (OSError, ValueError, IndexError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"cannot load {where} from the hub ({reason}): check the name and the network, "
            f"or set data.path to a local folder"
        ) from error
    return [Row(f"{where}:{number}", dict(row)) for number, row in enumerate(rows, start=1)]
