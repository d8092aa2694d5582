"""Files mutated byte by byte and field by field are read or refused in one line: no traceback, no
hang, no look outside their folder, no code of theirs.

A few dozen of each format; `pytest --whole` makes 2,000.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.families import facts, named, save
from support.mutations import bytes_of, fields_of, header_of, json_bytes, with_header

from lacuna.artifacts import read_json
from lacuna.audit.stream import open_checkpoint
from lacuna.data.sources.jsonl import Jsonl
from lacuna.data.sources.table import Table
from lacuna.data.tokens import Prompt
from lacuna.errors import UserError
from lacuna.model import Layout, preflight
from lacuna.model.files import INDEX, SINGLE, read_headers
from lacuna.region import Region, WeightRegion
from lacuna.region.files import load_region
from lacuna.results.files import MANIFEST
from lacuna.tensors import load_tensors

BASE: dict[str, Path] = {}


@pytest.fixture(scope="module", autouse=True)
def made(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A good file of every format, once."""
    folder = tmp_path_factory.mktemp("good")
    save(named("llama"), folder / "model")
    (folder / "model" / "evil.py").write_text(f"open({str(folder / 'RAN')!r}, 'w').close()\n")
    shutil.copytree(folder / "model", folder / "sharded")
    shard = "model-00001-of-00001.safetensors"
    (folder / "sharded" / SINGLE).rename(folder / "sharded" / shard)
    shutil.copy(folder / "model" / SINGLE, folder / "elsewhere.safetensors")
    names = list(load_tensors(folder / "model" / SINGLE)[0])
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, shard)}
    (folder / "sharded" / INDEX).write_text(json.dumps(index))
    layout = Layout("toy", {"a": (4, 8), "b": (4, 8)})
    Region(layout, {"a": torch.tensor([1, 5])}, {"seed": "1"}).save(folder / "region.safetensors")
    rows = [
        {"question": f"Q{n}?", "answer": f"A{n}", "split": s}
        for n, s in enumerate(("forget", "retain"))
    ]
    (folder / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "facts.json").write_text(json.dumps(rows))
    (folder / "facts.csv").write_text("question,answer,split\na,b,forget\nc,d,retain\n")
    BASE["folder"] = folder


def good(name: str) -> bytes:
    return (BASE["folder"] / name).read_bytes()


def tried(name: str, data: bytes, read: Callable[[Path], object]) -> None:
    """Read the file as mutated; the good one is put back."""
    path = BASE["folder"] / name
    before = path.read_bytes()
    path.write_bytes(data)
    try:
        read(path)
    except UserError as error:
        said = str(error)
        assert said.strip() and "\n" not in said and len(said) < 2000, said
    finally:
        path.write_bytes(before)
    assert not (BASE["folder"] / "RAN").exists()


def inside(path: Path) -> None:
    folder = path.parent
    assert {entry.file.parent for entry in read_headers(folder).values()} <= {folder}
    opened = open_checkpoint(folder)
    for name in opened.shapes:
        assert opened.read(name).shape == opened.shapes[name]


def asked(path: Path) -> None:
    preflight(path.parent, None, Prompt(), facts(), attention="auto", finite=True)


@given(data=st.data())
def test_weights(data: st.DataObject) -> None:
    whole = good(f"model/{SINGLE}")
    tried(f"model/{SINGLE}", data.draw(bytes_of(whole, first=4000)), inside)
    header, rest = header_of(whole)
    tried(f"model/{SINGLE}", with_header(data.draw(fields_of(header)), rest), inside)


@given(data=st.data())
def test_config(data: st.DataObject) -> None:
    whole = good("model/config.json")
    told = json.loads(whole) | {"auto_map": {"AutoConfig": "evil.C", "AutoTokenizer": "evil.T"}}
    tried("model/config.json", json_bytes(data.draw(fields_of(told))), asked)
    tried("model/config.json", data.draw(bytes_of(whole)), asked)


@given(data=st.data())
def test_tokenizer(data: st.DataObject) -> None:
    whole = good("model/tokenizer_config.json")
    tried("model/tokenizer_config.json", data.draw(bytes_of(whole)), asked)
    told = data.draw(fields_of(json.loads(whole)))
    tried("model/tokenizer_config.json", json_bytes(told), asked)


@given(data=st.data())
def test_index(data: st.DataObject) -> None:
    whole = good(f"sharded/{INDEX}")
    tried(f"sharded/{INDEX}", data.draw(bytes_of(whole)), inside)
    tried(f"sharded/{INDEX}", json_bytes(data.draw(fields_of(json.loads(whole)))), inside)


@given(data=st.data())
def test_region(data: st.DataObject) -> None:
    whole = good("region.safetensors")

    def read(path: Path) -> None:
        found = load_region(path)
        assert isinstance(found, Region | WeightRegion) and found.flat().any()

    tried("region.safetensors", data.draw(bytes_of(whole)), read)
    header, rest = header_of(whole)
    tried("region.safetensors", with_header(data.draw(fields_of(header)), rest), read)


@given(data=st.data())
def test_json_lines_array_and_csv(data: st.DataObject) -> None:
    def lines(path: Path) -> None:
        Jsonl.load(Jsonl.Config(path=str(path))).digest()

    def table(path: Path) -> None:
        Table.load(Table.Config(path=str(path))).digest()

    rows: Any = json.loads(good("facts.json"))
    tried("facts.jsonl", data.draw(bytes_of(good("facts.jsonl"))), lines)
    told = data.draw(fields_of(rows))
    text = b"\n".join(json_bytes(row) for row in told) if isinstance(told, list) else b"[]"
    tried("facts.jsonl", text, lines)
    tried("facts.json", json_bytes(told), table)
    tried("facts.csv", data.draw(bytes_of(good("facts.csv"))), table)


@given(data=st.data())
def test_json_of_ours(data: st.DataObject) -> None:
    whole = json_bytes({"a": [1, {"b": None}], "files": {MANIFEST: {"size": 1}}})
    path = BASE["folder"] / "some.json"
    path.write_bytes(whole)
    tried("some.json", data.draw(bytes_of(whole)), read_json)


def test_a_line_that_quotes_a_long_value_is_cut_in_its_middle() -> None:
    said = str(UserError(f"x.jsonl:1: {'9' * 5000}: write it anew"))
    assert said.startswith("x.jsonl:1: 999") and said.endswith("999: write it anew")
    assert len(said) < 2000 and str(UserError("short")) == "short"
