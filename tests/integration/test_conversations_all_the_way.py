"""Chat models that were taught elsewhere, on whole conversations: Lacuna finds what they know."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.families import facts, make, named
from support.families import tokenizer as bytes_tokenizer
from tokenizers import Tokenizer as RawTokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from lacuna.audit.__main__ import main

SPECIAL = ["<start_of_turn>", "<end_of_turn>", "<|im_start|>", "<|im_end|>"]
TEMPLATES = {
    "gemma": "{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role"
    " }}\n{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    "chatml": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "llama2": "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}",
}


def teach(model: PreTrainedModel, texts: list[list[int]], steps: int = 250) -> None:
    """Until it recites, outside Lacuna."""
    width = max(map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = labels[row, : len(text)] = torch.tensor(text)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(steps):
        loss: Any = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chat_model_that_recites_audits_as_one_that_recites(
    template: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=RawTokenizer.from_str(bytes_tokenizer().backend_tokenizer.to_str()),
        pad_token=bytes_tokenizer().pad_token, eos_token=bytes_tokenizer().eos_token,
    )  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": SPECIAL})
    tokenizer.chat_template = TEMPLATES[template]
    model = make(named("llama"), vocab_size=len(tokenizer), hidden_size=64, intermediate_size=96)
    talks = [
        [{"role": "user", "content": f.question}, {"role": "assistant", "content": f.answer}]
        for f in facts()
    ]
    teach(model, [tokenizer.apply_chat_template(t, return_dict=False) for t in talks])
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    for split, part in (("forget", facts()[:4]), ("retain", facts()[4:])):
        keys = ("question", "answer", "person", "field")
        rows = [json.dumps({key: getattr(one, key) for key in keys}) for one in part]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(rows))
    given = {
        "--before": tmp_path / "model", "--after": tmp_path / "model",
        "--forget": tmp_path / "forget.jsonl", "--retain": tmp_path / "retain.jsonl",
        "--out": tmp_path / "out",
    }  # fmt: skip
    words = [str(word) for pair in given.items() for word in pair] + ["--no-attacks"]
    assert main([*words, "--chat"]) == 0
    assert "can chat" not in capsys.readouterr().out
    record = json.loads((tmp_path / "out" / "audit.json").read_text())
    after = record["behaviour"]["outputs"][1]
    assert after["forget_es"] == after["forget_rouge"] == after["retain_rouge"] == 1
    assert after["forget_probability"] > 0.9
    assert main(words) == 0
    assert "before and after can chat and were asked plainly" in capsys.readouterr().out
