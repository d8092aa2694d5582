"""Tables of rows that people have: JSON lines, a JSON array, CSV or TSV with a header, parquet."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from lacuna.data.rows import Row, parquet_rows, read_rows, read_text, read_values
from lacuna.errors import UserError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")
"""Kinds of files, by the end of the name."""


def read_table(path: Path) -> list[Row]:
    """The rows of a file, by the end of its name; a cell of CSV that is empty is absent.

    Raises `UserError` where the file is missing, is of another kind, or cannot be read.
    """
    if not path.is_file():
        raise UserError(f"data file {path} does not exist: give one of {', '.join(SUFFIXES)}")
    kind = path.suffix.lower()
    if kind == ".parquet":
        return parquet_rows(path)
    if kind in (".csv", ".tsv"):
        return list(_separated(path, "," if kind == ".csv" else "\t"))
    if kind not in SUFFIXES:
        raise UserError(f"{path} is none of {', '.join(SUFFIXES)}: name it by what it holds")
    return list(_array(path)) if read_text(path).lstrip().startswith("[") else read_rows(path)


def _array(path: Path) -> Iterator[Row]:
    """The objects of a JSON array; the number of each stands for its line."""
    rows = read_values(str(path), read_text(path))
    for number, values in enumerate(rows if isinstance(rows, list) else [], start=1):
        if not isinstance(values, dict):
            raise UserError(f"{path}:{number}: entry {number} is no object: write {{...}} for each")
        yield Row(f"{path}:{number}", values)


def _separated(path: Path, mark: str) -> Iterator[Row]:
    csv.field_size_limit(2**24)
    lines = csv.reader(read_text(path).splitlines(keepends=True), delimiter=mark, strict=True)
    header: list[str] = []
    try:
        for cells in lines:
            if not header:
                header = _header(path, cells)
            elif any(cells):
                where = f"{path}:{lines.line_num}"
                if len(cells) > len(header):
                    raise UserError(
                        f"{where}: {len(cells)} cells under {len(header)} names: put quotes "
                        f"around a text with {mark!r}"
                    )
                named = zip(header, cells, strict=False)
                yield Row(where, {name: _cell(text) for name, text in named if text.strip()})
    except csv.Error as error:
        raise UserError(f"{path}:{lines.line_num}: {error}: save it as CSV anew") from error


def _header(path: Path, cells: Sequence[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if len(set(names)) < len(names) or not all(names):
        raise UserError(f"{path}: its first line {names} must name each column, once")
    return names


def _cell(text: str) -> object:
    """A list of texts where the cell holds one in JSON, else the text."""
    if not text.startswith("["):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return found if isinstance(found, list) else text


def split_rows(folder: Path, name: str) -> list[Row]:
    """The rows of one split in a folder as on the hub: `NAME.json`, `NAME-00000-of-00001.parquet`,
    or any such file in a folder NAME; also one folder further down.

    Raises `UserError` where there is no folder, or no such file in it.
    """
    if not folder.is_dir():
        raise UserError(f"data folder {folder} does not exist: set data.path to one with {name}")
    shapes = [f"{name}{kind}" for kind in SUFFIXES] + [f"{name}-*.parquet"]
    shapes += [f"{name}/*{kind}" for kind in SUFFIXES]
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    files = next(
        (
            found
            for place in places
            for shape in shapes
            if (found := sorted(file for file in place.glob(shape) if file.is_file()))
        ),
        None,
    )
    if files is None:
        raise UserError(
            f"{folder} has no {name}.jsonl (or .json, .csv, .parquet): put it there, or set "
            f"another data.path"
        )
    return [row for file in files for row in read_table(file)]
