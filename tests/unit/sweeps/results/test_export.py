"""A finished study's figures and tables for papers, and its page with or without names."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.reports import study

from lacuna.artifacts import write_json
from lacuna.errors import UserError
from lacuna.results.files import MANIFEST
from sweeps.results.rebuild import export, keep, read, rebuild


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A study of records that somebody may be in."""
    keep(replace(study(), config={"data": {"name": "jsonl"}}), tmp_path)
    write_json(tmp_path / MANIFEST, {"study": "mini"})
    return tmp_path


def test_files_for_papers_lie_beside_the_page_and_leave_the_report_as_it_is(folder: Path) -> None:
    rebuild(folder)
    page = (folder / "report/index.html").read_bytes()
    assert {path.parent for path in export(folder, "tex")} == {folder / "report/tables"}
    assert {path.parent for path in export(folder, "svg")} == {folder / "report/figures"}
    assert (folder / "report/index.html").read_bytes() == page


def test_a_format_that_is_none_is_named_with_those_there_are(folder: Path) -> None:
    with pytest.raises(UserError, match="--format jpg: no such format: did you mean 'png'"):
        export(folder, "jpg")
    with pytest.raises(UserError):
        export(folder / "nowhere", "svg")


def test_names_are_for_one_page_and_not_kept(folder: Path) -> None:
    rebuild(folder, named=True)
    assert '"a"' in (folder / "tables/people.json").read_text()
    assert not read(folder).named
    rebuild(folder)
    assert '"person 1"' in (folder / "tables/people.json").read_text()
