"""`python -m lacuna.audit` as a person meets it: files, a few lines, or one line and exit 2."""

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from support.schemas import problems
from support.tiny import tiny_model

from lacuna.audit.__main__ import main
from lacuna.audit.page import lead
from lacuna.model import layout
from lacuna.region import draw, draw_masks, scored_shapes

FACT = {"person": "Ada", "field": "phone", "question": "Ada's phone?", "answer": "12"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints, regions and data."""
    root = tmp_path_factory.mktemp("audit")
    model = tiny_model()
    shape = layout(model)
    model.save_pretrained(root / "before", max_shard_size="5KB")
    masks = draw_masks(shape.architecture, scored_shapes(shape), groups=6, share=0.1, seed=0)
    masks.save(root / "masks.safetensors")
    masks.union((0, 2, 4)).save(root / "forget.safetensors")
    draw(shape, 0.2, 0).save(root / "vectors.safetensors")
    draw(layout(tiny_model(layers=3)), 0.2, 0).save(root / "other.safetensors")
    with torch.no_grad():
        for name in masks.shapes:
            weight, region = model.get_parameter(name), masks.union((0, 2, 4))
            weight += 0.01 * region.mask(name)
    model.save_pretrained(root / "after")
    tiny_model(layers=3).save_pretrained(root / "deep")
    for name, split in (("forget", "forget"), ("retain", "retain")):
        fact = {**FACT, "split": split, "answer": "12" if split == "forget" else "13"}
        (root / f"{name}.jsonl").write_text(json.dumps(fact) + "\n")
    return root


def run(folder: Path, given: str, *more: str) -> int:
    words = [str(folder / w[1:]) if w.startswith("@") else w for w in given.split()]
    return main([*words, *more])


PAIR = "--before @before --after @after --out @out"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            if name == "src" or tag in ("script", "link"):
                self.loaded.append(tag)


@pytest.mark.parametrize("region", ["", "masks", "forget", "vectors"])
def test_an_audit_writes_its_page_and_numbers_and_prints_its_findings(
    folder: Path, region: str, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = f" --region @{region}.safetensors" if region else ""
    assert run(folder, f"{PAIR} --base @before{extra}") == 0
    said = capsys.readouterr().out.splitlines()
    found = json.loads((folder / "out" / "audit.json").read_text())
    assert problems("audit", found) == []
    assert said[:-1] == found["findings"] and "weights differ" in said[0]
    page = Tags()
    page.feed((folder / "out" / "index.html").read_text())
    assert not page.loaded
    assert {"checkpoints", "changes", "layers", "components", "vectors", "tensors"} <= page.ids
    assert ({"precision", "best", "inside", "areas"} <= page.ids) == bool(region)
    assert found["behaviour"] is None and "outputs" not in page.ids
    if not region:
        assert found["precision"] is None
        return
    text = (folder / "out" / "index.html").read_text()
    assert "<strong>Relative change by layer and component</strong>" in text
    areas = {r["truth"]: r["auc"] for r in found["precision"]["scores"] if r["headline"]}
    if region == "masks":
        assert set(areas) == {"forget", "union"} and areas["forget"] == 1
        said = lead(found)
        assert said.startswith("23.2% of the weights changed, most for their size in mlp.")
        assert "The change points to the weights of forget: AUC 1.00; 0.50 is blind, noise" in said
        assert f"<li>{said}</li>" in text
        assert areas["union"] == pytest.approx(0.75, abs=0.02), "half of it moved"
    elif region == "forget":
        assert areas == {"region": 1}
    else:
        assert areas["region"] == pytest.approx(0.5, abs=0.1) and found["overlap"]["region"]


def test_checkpoints_that_are_the_same_are_said_to_be(folder: Path) -> None:
    given = "--before @before --after @before --out @same --region @forget.safetensors"
    assert run(folder, given) == 0
    found = json.loads((folder / "same" / "audit.json").read_text())
    assert lead(found) == "Nothing changed: all weights are the same before and after."
    assert (
        "Relative change by layer and component" not in (folder / "same" / "index.html").read_text()
    )


BAD = [
    ("--before @nowhere --after @after", "nowhere is not a folder"),
    ("--before @before --after @deep", "hold different tensors"),
    ("--before @before --after @after --base @deep", "hold different tensors"),
    ("--before @before --after @after --region @other.safetensors", "region is for Olmo2ForCausal"),
    (
        "--before @before --after @after --region @none.safetensors",
        "none.safetensors does not exist",
    ),
    (
        "--before @before --after @after --region @mask.pt",
        "mask.pt is a pickle, which can run code",
    ),
    ("--before @before --after @after --forget @forget.jsonl", "--forget and --retain go together"),
    (
        "--before @before --after @after --forget @none.jsonl --retain @retain.jsonl",
        "none.jsonl does not exist",
    ),
    (
        "--before @before --after @after --forget @retain.jsonl --retain @retain.jsonl",
        "retain.jsonl has no forget facts",
    ),
    (
        "--before @before --after @after --forget @forget.jsonl --retain @retain.jsonl --prompt x",
        "prompt template 'x' lacks {question}",
    ),
]


@pytest.mark.parametrize(("given", "message"), BAD)
def test_bad_input_is_one_line_and_exit_2_and_nothing_is_written(
    folder: Path, given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "mask.pt").write_bytes(b"")
    assert run(folder, given, "--out", str(folder / "none")) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("error: ") and message in said.err
    assert not (folder / "none").exists()


@pytest.mark.parametrize("given", ["--before x", f"{PAIR} --regoin x", f"{PAIR} --dtype int4"])
def test_unknown_options_are_one_line_and_exit_2(
    folder: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, given) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert "see python -m lacuna.audit --help" in said.err
