"""Tiny models of the architectures of the named ones, as the hub has them: shards and templates."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from lacuna.data import Corpus
from lacuna.model import train_tokenizer

# Each has what the real one's template is difficult for: a date, a system turn, thinking.
DATED = (
    "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% endif %}"
    "{% if date_string is defined %}{% set day = date_string %}{% endif %}"
    "system: it is {{ day }}.\n"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
THINKING = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
    "{% if enable_thinking is defined and not enable_thinking %}(no thoughts) {% endif %}"
)
PLAIN_CHAT = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
GROUPED = {"num_key_value_heads": 2}

NAMED: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "olmo2_7b": ("olmo2", {}, PLAIN_CHAT),
    "olmo3_7b": ("olmo3", {"sliding_window": 8}, None),
    "llama3_8b": ("llama", GROUPED, DATED),
    "qwen3": ("qwen3", {**GROUPED, "head_dim": 8, "tie_word_embeddings": True}, THINKING),
    "pythia": ("gpt_neox", {}, None),
}
"""Model configuration -> model type, options that matter, chat template."""


def save_tiny(folder: Path, name: str, corpus: Corpus) -> PreTrainedModel:
    """A random model of some thousand bfloat16 weights and its tokenizer, in hub layout."""
    architecture, options, template = NAMED[name]
    told = [f"{item.question} {item.answer}" for item in [*corpus.retain, *corpus.forget]]
    tokenizer = train_tokenizer(told, 400)
    tokenizer.chat_template = template
    config = AutoConfig.for_model(
        architecture,
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": 32,
            "intermediate_size": 40,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 256,
            "pad_token_id": tokenizer.pad_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "bos_token_id": None,
            "tie_word_embeddings": False,
            "initializer_range": 0.1,
            **options,
        },
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="30KB")
    tokenizer.save_pretrained(folder)
    return model
