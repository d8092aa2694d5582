"""The pages of docs/ and beside the code: links lead somewhere, generated pages are fresh."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/*.md"), *ROOT.glob("docs/**/*.md")]
    if not {".venv", "artifacts"} & set(path.relative_to(ROOT).parts)
)
LINK = re.compile(r"(?<!`)!?\[[^\]]*\]\(([^)\s]+)\)")
FOLDERS = "docker|docs|examples|lacuna|sweeps|tests|benchmarks"
NAMED = re.compile(rf"`((?:{FOLDERS})/[\w./-]*\w)(?::\w+)?`")
"""A path of the repository in backticks."""


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_and_every_path_leads_somewhere(page: Path) -> None:
    text = page.read_text()
    lost = []
    for link in LINK.findall(text):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    if "log" not in page.parts:  # the log names what there was
        lost += [name for name in NAMED.findall(text) if not (ROOT / name).exists()]
    assert lost == []


def test_the_search_for_lost_links_bites(tmp_path: Path) -> None:
    assert LINK.findall("see [a](b.md#c) and ![d](e.svg)") == ["b.md#c", "e.svg"]
    page = tmp_path / "page.md"
    page.write_text("# One `two`: three\n")
    assert anchors(page) == {"one-two-three"}


def test_generated_pages_are_fresh() -> None:
    code = (
        "import sys; sys.path.insert(0, 'docs'); import generate\n"
        "stale = [n for n, page in generate.PAGES.items()"
        " if (generate.ROOT / n).read_text() != page()]\n"
        "print(stale)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", f"run python docs/generate.py {done.stdout}{done.stderr}"


def test_the_readme_can_be_read_in_a_minute() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 170 and max(map(len, lines)) <= 101
