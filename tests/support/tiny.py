"""Tiny random models and texts: what a unit test of the library needs, in milliseconds."""

import pickle
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from lacuna.data.tokens import IGNORE, Batch, Encoded, collate
from lacuna.model import layout
from lacuna.model.load import ready
from lacuna.region import Region, draw
from lacuna.seeds import torch_generator
from lacuna.train import AllWeights, Editable, RegionWeights

VOCABULARY = 40

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "olmo2": {},
    "olmo3": {},
    "llama": {},
    "qwen3": {"head_dim": 8},
    "mistral": {},
    "gemma2": {"head_dim": 8, "final_logit_softcapping": 1.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {"head_dim": 8, "query_pre_attn_scalar": 8},
    "gpt_neox": {},
}
"""Model type -> options beyond the common ones; a soft cap of 1 bends every logit visibly."""


def tiny_model(
    architecture: str = "olmo2",
    seed: int = 0,
    *,
    dtype: torch.dtype = torch.float32,
    layers: int = 2,
    **options: Any,
) -> PreTrainedModel:
    """A random model of a few thousand weights with logits of order one, frozen."""
    model: PreTrainedModel = pickle.loads(
        _made(architecture, seed, dtype, layers, tuple(options.items()))
    )
    return model


@cache
def _made(
    architecture: str,
    seed: int,
    dtype: torch.dtype,
    layers: int,
    options: tuple[tuple[str, Any], ...],
) -> bytes:
    """Unpickled by whoever asks, in a quarter of the time of making it."""
    config = AutoConfig.for_model(
        architecture,
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        attn_implementation="eager",
        **ARCHITECTURES[architecture],
        **dict(options),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
    return pickle.dumps(ready(model.to(dtype), "cpu"))


def tiny_texts(
    count: int = 6, seed: int = 0, *, prompt: int = 3, answer: Sequence[int] = (2, 5, 3)
) -> list[Encoded]:
    """Random tokens 2 and up; answers of the given lengths in turn, closed by token 1."""
    generator = torch_generator(seed, "tiny texts")
    texts = []
    for i in range(count):
        size = prompt + answer[i % len(answer)]
        ids = [*torch.randint(2, VOCABULARY, (size,), generator=generator).tolist(), 1]
        texts.append(Encoded(ids, [IGNORE] * prompt + ids[prompt:]))
    return texts


def whole_batch(texts: Sequence[Encoded]) -> Batch:
    """All texts as one batch."""
    return collate(texts, range(len(texts)))


def tiny_region(model: PreTrainedModel, ratio: float = 0.3, seed: int = 7) -> Region:
    """A region of the model with vectors in every layer."""
    region = draw(layout(model), ratio, seed)
    assert all(region.by_layer().values())
    return region


def state(model: PreTrainedModel) -> dict[str, Tensor]:
    """A copy of every weight and buffer."""
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Bit equality, NaN and the sign of zero included."""
    return torch.equal(*(x.reshape(-1).contiguous().view(torch.uint8) for x in (a, b)))


def changed(before: dict[str, Tensor], after: PreTrainedModel) -> set[str]:
    """Names of the tensors whose bits differ."""
    now = after.state_dict()
    return {name for name, tensor in before.items() if not same_bits(tensor, now[name])}


def changed_columns(before: dict[str, Tensor], after: PreTrainedModel) -> dict[str, set[int]]:
    """Module name -> columns of its weight matrix in which any bit differs."""
    found = {}
    for name in changed(before, after):
        now = after.state_dict()[name]
        if now.dim() == 0:
            found[name] = set()
            continue
        width = now.shape[-1]
        differs = [i for i in range(width) if not same_bits(before[name][..., i], now[..., i])]
        found[name.removesuffix(".weight")] = set(differs)
    return found


def both_kinds(model: PreTrainedModel) -> dict[str, Editable]:
    """A region's weights, and all of them."""
    return {"region": RegionWeights(model, tiny_region(model)), "all": AllWeights(model)}


def elsewhere(code: str) -> str:
    """What a fresh process prints, whose hashes of strings differ from this one's."""
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def distance(a: PreTrainedModel, b: PreTrainedModel) -> float:
    """Largest difference between two weights at the same place."""
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(float((x - y).abs().max()) for x, y in pairs)
