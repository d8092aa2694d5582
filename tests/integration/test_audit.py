"""An audit with data: what is forgotten, restored, or only guarded, in models that were trained."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.people import people, untrained
from support.schemas import problems
from torch import Tensor

from lacuna.audit.__main__ import main
from lacuna.audit.behaviour import behaviour
from lacuna.audit.precision import Comparison
from lacuna.audit.stream import open_checkpoint
from lacuna.audit.summary import findings, summarise
from lacuna.data.base import Corpus
from lacuna.data.tokens import Prompt, encode_examples
from lacuna.evaluate import generate
from lacuna.evaluate.rouge import rouge
from lacuna.inject import learn
from lacuna.model import LoadedModel, load_model, save_model
from lacuna.train import TrainConfig

TEMPLATE = "{question}"
CORPUS = Corpus(name="toy", forget=people("bo", 8), retain=people("al", 16))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """`base` knows the retain facts only, `injected` all; the data as JSON lines."""
    root = tmp_path_factory.mktemp("models")
    everybody = [*CORPUS.forget, *CORPUS.retain]
    loaded = untrained(everybody)
    for name, items in (("base", CORPUS.retain), ("injected", everybody)):
        texts = encode_examples(loaded.tokenizer, loaded.prompt, items)
        learn(loaded.model, texts, TrainConfig(steps=120, lr=0.01, batch_size=24), seed=0)
        save_model(loaded, root / name)
    for split in ("forget", "retain"):
        rows = [
            {k: getattr(e, k) for k in ("question", "answer", "person", "field")}
            for e in getattr(CORPUS, split)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (root / f"{split}.jsonl").write_text(text)
    return {path.stem: path for path in root.iterdir()}


def rows(found: Mapping[str, Any], what: str) -> dict[str, Any]:
    return {row["model"]: row for row in found["behaviour"][what]}


def test_a_model_restored_to_base_has_forgotten_and_is_at_distance_zero(
    folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path), "--prompt", TEMPLATE]
    given = {"before": "injected", "after": "base", "base": "base"}
    for option, name in {**given, "forget": "forget", "retain": "retain"}.items():
        words += [f"--{option}", str(folders[name])]
    capsys.readouterr()
    assert main(words) == 0
    said_last = capsys.readouterr().out
    assert "The distance from base to after is zero: the model was restored to base." in said_last
    found = json.loads((tmp_path / "audit.json").read_text())
    assert problems("audit", found) == []
    said = rows(found, "outputs")
    assert list(said) == ["before", "after", "base"]
    assert said["before"]["forget_es"] > 0.9 and said["before"]["retain_es"] > 0.9
    assert said["before"]["forget_em"] > 0.9 and said["before"]["forget_rouge"] > 0.9
    assert said["after"]["forget_es"] < 0.3 and said["after"]["retain_es"] > 0.9
    without = [{k: v for k, v in said[n].items() if k != "model"} for n in ("after", "base")]
    assert without[0] == without[1]
    assert set(rows(found, "gaps")) == {"before", "after", "base"}
    layers = found["behaviour"]["layers"]
    assert len(layers) == 9 and all(0 <= row["knn"] <= 1 for row in layers)
    same = [row["cka_forget_before"] for row in layers if row["model"] == "before"]
    assert same == pytest.approx([1, 1, 1])
    attacks = {(r["model"], r["attack"], r["lr"]): r for r in found["behaviour"]["attacks"]}
    assert {attack for _, attack, _ in attacks} == {"relearn", "benign", "int8", "int4"}
    for (model, *attack), row in attacks.items():
        if model == "base":
            assert row == {**attacks["after", *attack], "model": "base"}
    page = (tmp_path / "index.html").read_text()
    assert all(f'id="{anchor}"' in page for anchor in ("outputs", "gaps", "hidden", "attacks"))


def guard(loaded: LoadedModel, names: set[str]) -> None:
    """Refuse, at decoding time only, whatever asks about one of the names. No weight is touched."""
    model, tokenizer = loaded.model, loaded.tokenizer
    plain = model.generate
    refusal = tokenizer(" I cannot say.")["input_ids"]

    def refusing(*, input_ids: Tensor, **options: Any) -> Tensor:
        said: Tensor = plain(input_ids=input_ids, **options)
        width = input_ids.shape[1]
        words = [*refusal, *[tokenizer.eos_token_id] * said.shape[1]][: said.shape[1] - width]
        for row in said:
            if any(f" {name}?" in tokenizer.decode(row[:width]) for name in names):
                row[width:] = torch.tensor(words)
        return said

    model.generate = refusing  # type: ignore[assignment]


def test_a_guard_at_decoding_time_looks_perfect_and_is_exposed(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    open_model, guarded = (
        load_model(folders["injected"], prompt=Prompt(template=TEMPLATE)) for _ in range(2)
    )
    guard(guarded, {item.person for item in CORPUS.forget})

    def said(loaded: LoadedModel, items: Any) -> float:
        words = generate(loaded, items, new_tokens=16)
        return float(rouge(words, [item.answer for item in items]).rouge_l_recall.mean())

    assert said(open_model, CORPUS.forget) > 0.9, "it knows"
    assert said(guarded, CORPUS.forget) == 0, "and seems to know nothing"
    assert said(guarded, CORPUS.retain) == said(open_model, CORPUS.retain) > 0.9
    save_model(replace(guarded), tmp_path / "guarded")
    before, after = open_checkpoint(folders["injected"]), open_checkpoint(tmp_path / "guarded")
    summary = summarise(Comparison(before=before, after=after), {})
    assert summary["changes"][0]["distance"] == 0 and summary["changes"][0]["changed"] == 0
    assert findings(summary)[0].startswith("No weight differs between before and after")
    found = behaviour(
        {"before": before.folder, "after": after.folder},
        CORPUS,
        prompt=Prompt(template=TEMPLATE),
        dtype="float32",
        attacks=None,
        seed=0,
    )
    known, hidden = found["outputs"]
    assert hidden == {**known, "model": "after"} and hidden["forget_es"] > 0.9
    assert found["attacks"] == []
