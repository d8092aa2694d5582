"""Tiny random models of many architectures in hub layout, with a tokenizer that suits them.

`PYTHONPATH=.:tests python -m support.families` writes docs/models.md, the list of what is tested.
"""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from lacuna.data.base import Example
from lacuna.model import train_tokenizer

PEOPLE = ("Ada Holt", "Ben Ruiz", "Cy Marlow", "Dora Finch", "Eli Stone", "Fay Wong")
CITIES = ("Lisbon", "Oslo", "Quito", "Perth", "Turin", "Lima")
JOBS = ("baker", "pilot", "nurse", "clerk", "miner", "judge")


def facts() -> list[Example]:
    """Two facts of each of six people."""
    found = []
    for name, city, job in zip(PEOPLE, CITIES, JOBS, strict=True):
        told = (("city", f"Where was {name} born?", city), ("job", f"Who is {name}?", f"A {job}."))
        for what, question, answer in told:
            one = Example(
                id=f"{name} {what}", question=question, answer=answer, person=name, field=what
            )
            found.append(one)
    return found


@cache
def tokenizer() -> PreTrainedTokenizerFast:
    """Of some 350 tokens."""
    texts = [f"Question: {item.question}\nAnswer: {item.answer}" for item in facts()]
    return train_tokenizer(texts, 350)


WIDTH, NEURONS, EXPERTS, SMALL = 32, 40, 4, 24
"""Model width, neurons of a dense MLP, routed experts a layer and neurons of one."""
_ROUTED = {"num_experts": EXPERTS, "num_experts_per_tok": 2, "moe_intermediate_size": SMALL}
_DEEPSEEK = {
    "n_routed_experts": EXPERTS,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": SMALL,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 2,
    "topk_group": 1,
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
}
_GPT2 = {"n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": 256, "n_inner": NEURONS}
_GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8}


@dataclass(frozen=True)
class Family:
    """An architecture: model type, options beyond the common ones, value vectors of two layers."""

    name: str
    """As people know it."""
    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    vectors: int = 2 * NEURONS
    matrices: int = 2
    form: str = "dense"
    """Of its MLPs."""


_SHARED = 2 * (EXPERTS * SMALL + NEURONS)
FAMILIES = (
    Family("OLMo-2", "olmo2"),
    Family("OLMo-3", "olmo3", {"sliding_window": 8}),
    Family("Llama", "llama", {"num_key_value_heads": 2}),
    Family("Qwen2", "qwen2", {"tie_word_embeddings": True}),
    Family("Qwen3", "qwen3", {"head_dim": 8}),
    Family("Mistral", "mistral", {"num_key_value_heads": 2}),
    Family("Gemma", "gemma", {"head_dim": 8}),
    Family("Gemma 2", "gemma2", _GEMMA),
    Family("Gemma 3", "gemma3_text", _GEMMA),
    Family("Gemma 3, multimodal", "gemma3", {}, form="dense, text decoder only"),
    Family("Phi", "phi"),
    Family("Phi-3", "phi3", form="dense, fused gate"),
    Family("GPT-NeoX", "gpt_neox"),
    Family("GPT-2", "gpt2", _GPT2, form="dense, stored transposed"),
    Family("GPT-J", "gptj", {**_GPT2, "rotary_dim": 4}),
    Family("OPT", "opt", {"ffn_dim": NEURONS, "word_embed_proj_dim": WIDTH}),
    Family("Falcon", "falcon", {"ffn_hidden_size": NEURONS}),
    Family("StarCoder2", "starcoder2", {"num_key_value_heads": 2}),
    Family("Qwen2-MoE", "qwen2_moe", {**_ROUTED, "shared_expert_intermediate_size": NEURONS},
           _SHARED, 2 * (EXPERTS + 1), "routed and shared experts"),
    Family("Qwen3-MoE", "qwen3_moe", _ROUTED, 2 * EXPERTS * SMALL, 2 * EXPERTS, "routed experts"),
    Family("OLMoE", "olmoe", {"num_experts": EXPERTS, "num_experts_per_tok": 2},
           2 * EXPERTS * NEURONS, 2 * EXPERTS, "routed experts"),
    Family("Mixtral", "mixtral", {"num_local_experts": EXPERTS, "num_experts_per_tok": 2},
           2 * EXPERTS * NEURONS, 2 * EXPERTS, "routed experts"),
    Family("DeepSeek-V2", "deepseek_v2", _DEEPSEEK, NEURONS + EXPERTS * SMALL + SMALL,
           2 + EXPERTS, "dense, routed and shared experts"),
    Family("DeepSeek-V3", "deepseek_v3", _DEEPSEEK, NEURONS + EXPERTS * SMALL + SMALL,
           2 + EXPERTS, "dense, routed and shared experts"),
)  # fmt: skip

REFUSED: dict[str, dict[str, Any]] = {
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 8},
    "llama4_text": {"num_local_experts": 2, "intermediate_size_mlp": 40, "head_dim": 8},
    "mamba": {},
    "gemma3n_text": {"num_kv_shared_layers": 0},
}
"""Model types, some of whose MLP outputs cannot be reached, and options of a small one."""
DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"
_DOCUMENT = """# Architectures

Value vectors are the columns of the output matrices of the text decoder's MLPs: dense, gated,
shared and routed experts. Where they are follows from the architecture that config.json names,
not from the names in the files; a study and an audit of the same folder have the same ones.

This list is made by `PYTHONPATH=.:tests python -m support.families`; each row is a tiny model in
hub layout. `tests/unit/model/test_families.py` plans and loads it and compares its answers with
transformers' own; `tests/integration/test_families_all_the_way.py` takes it through all stages of a
study and through the audit: planted facts are recited, and everything outside the region is
bit-identical.

| family | model type | MLPs |
|---|---|---|
{rows}

Others work where all matrices of their MLPs are known by name (`lacuna/model/value.py`); one
whose MLP outputs cannot all be reached is refused by name, for instance {refused}. A layer with
routed experts computes all of them for every token, those that it is not routed to with weight 0:
the numbers are the same, the work is that of all experts. `alphaedit` edits one matrix a layer
and refuses such models.
"""


def document() -> str:
    """The page about what is tested."""
    rows = [f"| {one.name} | `{one.kind}` | {one.form} |" for one in FAMILIES]
    refused = ", ".join(f"`{kind}`" for kind in REFUSED)
    return _DOCUMENT.format(rows="\n".join(rows), refused=refused)


def options(family: Family) -> dict[str, Any]:
    """The whole configuration of a tiny model of the family."""
    words = tokenizer()
    common = {
        "vocab_size": len(words),
        "hidden_size": WIDTH,
        "intermediate_size": NEURONS,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 256,
        "pad_token_id": words.pad_token_id,
        "eos_token_id": words.eos_token_id,
        "bos_token_id": None,
        "tie_word_embeddings": False,
        "initializer_range": 0.1,
    }
    if family.kind != "gemma3":
        return {**common, **family.options}
    tower = {
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    text = {**common, **_GEMMA, "model_type": "gemma3_text"}
    marks = {"image_token_index": 300, "boi_token_index": 301, "eoi_token_index": 302}
    return {"text_config": text, "vision_config": tower, "mm_tokens_per_image": 4, **marks}


def make(family: Family, seed: int = 0, **changed: Any) -> PreTrainedModel:
    """A model as transformers makes it."""
    config = AutoConfig.for_model(family.kind, **{**options(family), **changed})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model.eval()


def save(family: Family, folder: Path, seed: int = 0, **changed: Any) -> PreTrainedModel:
    """Such a model and the tokenizer in a folder."""
    model = make(family, seed, **changed)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return model


def named(kind: str) -> Family:
    """The family of a model type."""
    return next(family for family in FAMILIES if family.kind == kind)


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(), encoding="utf-8")
