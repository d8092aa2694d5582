"""Checkpoints that are not what they seem: refused in one line, before a weight is used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.families import facts, named, save, tokenizer

from lacuna.audit.__main__ import main
from lacuna.audit.stream import open_checkpoint
from lacuna.data.tokens import Prompt
from lacuna.errors import UserError
from lacuna.model import load_model, model_identity, preflight, save_model
from lacuna.model.files import INDEX

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good checkpoint."""
    save(named("llama"), tmp_path / "model")
    return tmp_path / "model"


def tensors(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Rewrite the weights."""
    file = folder / "model.safetensors"
    made = {name: tensor.clone() for name, tensor in change(load_file(file)).items()}
    save_file(made, file, metadata={"format": "pt"})


def config(folder: Path, **values: Any) -> None:
    """Change config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def refused(folder: Path, message: str, prompt: Prompt | None = None) -> None:
    """By preflight, loader and audit alike, in one line."""
    prompt = prompt or Prompt()
    asked = (
        lambda: preflight(folder, None, prompt, facts()),
        lambda: load_model(folder, prompt=prompt, device="cpu"),
    )
    for ask in asked:
        with pytest.raises(UserError, match=message) as caught:
            ask()
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def without(*names: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda held: {name: t for name, t in held.items() if name not in names}


MADE_UP = {
    "no head": (without("lm_head.weight"), "lacks 1 weights .lm_head.weight"),
    "no norm": (without("model.norm.weight", "model.layers.0.mlp.up_proj.weight"), "lacks 2 wei"),
    "compiled": (
        lambda held: {f"_orig_mod.{name}": t for name, t in held.items()},
        r"lacks 21 weights .*holds 21 it has no place for \(_orig_mod",
    ),
    "wrapped": (
        lambda held: {f"module.{name}": t for name, t in held.items()},
        r"holds 21 it has no place for \(module.lm_head",
    ),
    "unmerged adapter": (
        lambda held: {f"base_model.model.{name}": t for name, t in held.items()},
        r"lacks 21 weights .*holds 21 it has no place for \(base_model.model",
    ),
    "sharded by another trainer": (
        lambda held: {f"_fsdp_wrapped_module.{name}": t for name, t in held.items()},
        r"holds 21 it has no place for \(_fsdp_wrapped_module",
    ),
    "one more": (
        lambda held: {**held, "model.layers.2.mlp.up_proj.weight": torch.ones(2)},
        "holds 1 it has no place for .model.layers.2",
    ),
    "cut": (
        lambda held: {**held, "lm_head.weight": held["lm_head.weight"][:9]},
        r"1 of another shape \(lm_head.weight \[9, 32\]",
    ),
    "integers": (
        lambda held: {**held, "lm_head.weight": held["lm_head.weight"].char()},
        "lm_head.weight is stored as I8",
    ),
}


@pytest.mark.parametrize("kind", MADE_UP)
def test_a_weight_that_would_be_made_up_is_named(kind: str, folder: Path) -> None:
    change, message = MADE_UP[kind]
    tensors(folder, change)
    refused(folder, message)
    with pytest.raises(UserError, match=message):
        open_checkpoint(folder)


def test_a_stage_that_did_not_write_its_whole_model_fails(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_model(folder, prompt=Prompt(), device="cpu")
    write = loaded.model.save_pretrained

    def part(place: Path, state_dict: dict[str, Any]) -> None:
        write(place, state_dict={n: t for n, t in state_dict.items() if n != "lm_head.weight"})

    save_model(loaded, tmp_path / "whole")
    monkeypatch.setattr(loaded.model, "save_pretrained", part)
    with pytest.raises(RuntimeError, match=r"part: \d+ of the model's \d+ weights were written"):
        save_model(loaded, tmp_path / "part")


def test_weights_that_are_no_numbers_are_named_where_they_are_loaded(folder: Path) -> None:
    def spoil(held: dict[str, Any]) -> dict[str, Any]:
        held["model.norm.weight"][3] = float("nan")
        return held

    tensors(folder, spoil)
    with pytest.raises(UserError, match="model.norm.weight has 1 weights that are NaN"):
        load_model(folder, prompt=Prompt(), device="cpu")


CONFIGURED = {
    "hidden_size": (-5, "big", 0),
    "num_attention_heads": (0, -1),
    "vocab_size": (10**12, 1.5, None),
    "num_hidden_layers": (10**9, "x"),
    "hidden_act": ("nonsense",),
    "_attn_implementation": ("someone/kernels",),
    "quantization_config": ({"quant_method": "gptq", "bits": 4}, {"quant_method": "bitsandbytes"}),
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, values in CONFIGURED.items() for value in values]
)
def test_a_configuration_that_makes_no_sense_is_one_line(
    key: str, value: object, folder: Path
) -> None:
    config(folder, **{key: value})
    refused(folder, "stored quantized" if key.startswith("quant") else "config|cannot load")


def test_an_adapter_beside_a_model_is_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    refused(folder, "holds an adapter .*merge it .*remove")
    with pytest.raises(UserError, match="holds an adapter"):
        open_checkpoint(folder)


def test_code_of_a_checkpoints_own_never_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *words: "y")
    (folder / "evil.py").write_text(f"open({str(folder / 'RAN')!r}, 'w')\nclass C: pass\n")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    parts = ("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer")
    own = {part: "evil.C" for part in parts}
    config(folder, model_type="evilmodel", architectures=["Evil"], auto_map=own)
    refused(folder, "wants code of its own")
    config(folder, model_type="llama")
    refused(folder, "has weights and no tokenizer")
    assert not (folder / "RAN").exists()


def test_every_loader_in_the_source_refuses_foreign_code() -> None:
    files = [*(ROOT / "lacuna").rglob("*.py"), *(ROOT / "sweeps").rglob("*.py")]
    calls = [call for file in files for call in file.read_text().split(".from_pretrained(")[1:]]
    assert len(calls) >= 3
    assert all("trust_remote_code=False" in call[:400] for call in calls)


def test_a_tokenizer_larger_than_the_embedding_may_pass_if_no_text_uses_it(folder: Path) -> None:
    words = tokenizer().__class__.from_pretrained(folder)
    rows = len(words)
    words.add_tokens(["unheard"])
    words.save_pretrained(folder)
    found = preflight(folder, None, Prompt(), facts())
    assert (found.tokens, found.embedding) == (rows + 1, rows) and found.largest_id < rows
    words.add_tokens(["Lisbon"])
    words.save_pretrained(folder)
    with pytest.raises(
        UserError, match=f"{rows + 2} tokens .largest id .*: {rows + 1}.*{rows} row"
    ):
        preflight(folder, None, Prompt(), facts())


TEMPLATES = {
    "{{ raise_exception('no') }}": (None, "its chat template fails .no"),
    "{% if broken %}": (None, "its chat template fails"),
    "hello": (None, "leaves the question out"),
    "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
    "{{ messages[-1].content }}": ("Be kind.", "takes no system message .it is refused"),
    "{{ messages[-1].content }}": ("Be kind.", "takes no system message .it is ignored"),
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_that_does_not_say_what_it_is_told_is_refused(
    template: str, folder: Path
) -> None:
    (folder / "chat_template.jinja").write_text(template)
    system, message = TEMPLATES[template]
    with pytest.raises(UserError, match=message):
        preflight(folder, None, Prompt(chat=True, system=system), facts())


def test_a_text_longer_than_the_model_is_made_for_is_refused(folder: Path) -> None:
    config(folder, max_position_embeddings=8)
    with pytest.raises(UserError, match=r"longest text .* has \d+ tokens, the model is made for 8"):
        preflight(folder, None, Prompt(), facts())


HOSTILE = (5, None, ["a"], "a" * 5000, "a\0b", ".", "../model.safetensors", "/etc/passwd", "a/b")


@pytest.mark.parametrize("entry", HOSTILE)
def test_a_shard_stays_inside_its_folder(entry: object, folder: Path) -> None:
    names = list(load_file(folder / "model.safetensors"))
    (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(names, entry)}))
    with pytest.raises(UserError, match=f"{INDEX}: .* is said to lie in"):
        open_checkpoint(folder)


@pytest.mark.parametrize("text", [b"\xff\xfe{}", b'{"a": ' + b"9" * 5000 + b"}", b"[" * 100_000])
@pytest.mark.parametrize("name", ["config.json", INDEX])
def test_json_that_no_parser_takes_is_one_line(name: str, text: bytes, folder: Path) -> None:
    (folder / name).write_bytes(text)
    with pytest.raises(UserError, match=f"{name}.*") as caught:
        open_checkpoint(folder)
    assert "\n" not in str(caught.value)


def test_the_identity_of_a_folder_is_all_that_a_loader_reads(folder: Path, tmp_path: Path) -> None:
    seen = {model_identity(folder)}
    for name in ("README.md", "README.txt", "notes.pdf"):
        (folder / name).write_text("words")
        assert model_identity(folder) in seen
    for name in ("chat_template.jinja", "merges.txt", "tokenizer.model", "generation_config.json"):
        (folder / name).write_text("{}  ")
        assert (found := model_identity(folder)) not in seen
        seen.add(found)
    (folder / "merges.txt").rename(folder / "vocab.txt")
    assert model_identity(folder) not in seen, "names count"
    assert model_identity(folder.rename(tmp_path / "elsewhere")) not in seen


def audit(*words: object) -> int:
    return main([str(word) for word in words])


def test_buffers_of_older_files_and_tied_copies_are_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("before", "after"):
        save(named("gpt_neox"), tmp_path / name)
    old = {
        "bias": torch.ones(1, 1, 8, 8).tril().bool(),
        "masked_bias": torch.tensor(-1e9),
        "rotary_emb.inv_freq": torch.ones(4),
    }
    held_too = {f"gpt_neox.layers.0.attention.{name}": t for name, t in old.items()}
    tensors(tmp_path / "before", lambda held: held | held_too)
    pair = (
        "--before",
        tmp_path / "before",
        "--after",
        tmp_path / "after",
        "--out",
        tmp_path / "out",
    )
    assert audit(*pair) == 0
    assert "3 tensors only in before are buffers, not compared" in capsys.readouterr().out
    for name in ("tied", "plain"):
        save(named("qwen2"), tmp_path / name)
    embed = "model.embed_tokens.weight"
    tensors(tmp_path / "tied", lambda held: {**held, "lm_head.weight": held[embed]})
    pair = ("--before", tmp_path / "tied", "--after", tmp_path / "plain", "--out", tmp_path / "out")
    assert audit(*pair) == 0 and "No weight differs" in capsys.readouterr().out
    tensors(tmp_path / "tied", lambda held: {**held, "lm_head.weight": held[embed] + 1})
    assert audit(*pair) == 0
    assert (
        "stores lm_head.weight as a copy of a tied weight, and the two differ"
        in capsys.readouterr().out
    )


@pytest.fixture
def asked(folder: Path, tmp_path: Path) -> tuple[object, ...]:
    """An audit of the folder against itself, with data."""
    for split, part in (("forget", facts()[:6]), ("retain", facts()[6:])):
        rows = ({"split": split, "question": f.question, "answer": f.answer,
                 "person": f.person, "field": f.field}
                for f in part)  # fmt: skip
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = ("--forget", tmp_path / "forget.jsonl", "--retain", tmp_path / "retain.jsonl")
    return ("--before", folder, "--after", folder, *data, "--no-attacks", "--out", tmp_path / "out")


def test_a_checkpoint_that_cannot_be_asked_is_refused_before_weights_are_compared(
    asked: tuple[object, ...], folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in folder.glob("*token*"):
        file.unlink()
    assert audit(*asked) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1 and "has weights and no tokenizer" in said.err
    assert not (tmp_path / "out").exists()


def test_what_was_compared_is_written_where_behaviour_fails(
    asked: tuple[object, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def full(*words: object, **more: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr("lacuna.audit.behaviour.behaviour", full)
    assert audit(*asked) == 1
    said = capsys.readouterr()
    assert "No weight differs" in said.out
    assert said.err == "error: behaviour could not be asked: out of memory\n"
    record = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert record["behaviour"] is None and "out of memory" in record["missing"]
    assert record["changes"]


def test_loading_shows_no_progress(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(folder, prompt=Prompt(), device="cpu")
    assert capfd.readouterr() == ("", "")
