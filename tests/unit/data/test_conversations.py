"""Where an answer begins and ends: as the model sees the whole conversation."""

from typing import Any

import pytest
import torch
from support.families import facts, make, named
from support.families import tokenizer as bytes_tokenizer
from tokenizers import Tokenizer as RawTokenizer
from tokenizers import decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, PreTrainedTokenizerFast

from lacuna.data.tokens import IGNORE, Encoded, Prompt, Tokenizer
from lacuna.evaluate.generate import complete
from lacuna.model import LoadedModel
from lacuna.model.load import ready

TEXTS = [f"Question: {item.question}\nAnswer: {item.answer}" for item in facts()]
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
PHI = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n\n</think>\n\n{% endif %}"
)
BARE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
CLOSED = {
    "gemma": (GEMMA, "<end_of_turn>"),
    "chatml": (CHATML, "<|im_end|>"),
    "llama2": (LLAMA2, "<|end|>"),
    "phi": (PHI, "<|turn|>"),
    "thinking": (THINKING, "<|im_end|>"),
    "bare": (BARE, "<|end|>"),
}


def speaking(template: str, *special: str) -> PreTrainedTokenizerFast:
    """The byte-level tokenizer of the families, with a chat template and its tokens."""
    made = PreTrainedTokenizerFast(
        tokenizer_object=RawTokenizer.from_str(bytes_tokenizer().backend_tokenizer.to_str()),
        pad_token="<|pad|>", eos_token="<|end|>", bos_token="<|begin|>",
    )  # fmt: skip
    made.add_special_tokens({"additional_special_tokens": list(special)})
    made.chat_template = template
    return made


@pytest.fixture(scope="module", params=CLOSED)
def chat(request: pytest.FixtureRequest) -> tuple[str, PreTrainedTokenizerFast, str]:
    template, end = CLOSED[request.param]
    names = ("<start_of_turn>", "<end_of_turn>", "<|im_start|>", "<|im_end|>", "<|turn|>")
    return request.param, speaking(template.replace("<|end|>", "<|turn|>"), *names), end


def rendered(tokenizer: Tokenizer, question: str, answer: str) -> str:
    talk = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return str(tokenizer.apply_chat_template(talk, tokenize=False))


def test_an_answer_is_closed_by_what_the_template_puts_there(
    chat: tuple[str, PreTrainedTokenizerFast, str],
) -> None:
    name, tokenizer, end = chat
    prompt, item = Prompt(chat=True), facts()[1]
    text = Encoded.answer(tokenizer, prompt, item.question, item.answer)
    (said,) = [i for i in [prompt.end(tokenizer)] if i is not None]
    assert tokenizer.convert_ids_to_tokens(said) == end
    assert text.ids[-1] == text.labels[-1] == said and text.ids.count(said) <= 2
    labels = [label for label in text.labels if label != IGNORE]
    assert tokenizer.decode(labels, skip_special_tokens=True).strip() == item.answer
    head = prompt.head(tokenizer, item.question)
    assert text.ids[: len(head)] == head and text.labels[: len(head)] == [IGNORE] * len(head)
    if name not in ("bare", "thinking"):
        whole = tokenizer(rendered(tokenizer, item.question, item.answer), add_special_tokens=False)
        assert whole["input_ids"][: len(text.ids)] == text.ids


def metaspace() -> PreTrainedTokenizerFast:
    """A tokenizer that puts a blank in front of every text, as those of SentencePiece do."""
    raw = RawTokenizer(models.BPE(unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    raw.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    raw.train_from_iterator(TEXTS, trainer)
    raw.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def prepending() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer with `add_prefix_space`."""
    made = speaking("")
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return made


@pytest.mark.parametrize("make_it", [metaspace, prepending, bytes_tokenizer])
@pytest.mark.parametrize(
    "prompt",
    [
        Prompt(),
        Prompt(separator=""),
        Prompt(template="{question}", separator="\n"),
        Prompt(template="[INST] {question} [/INST]"),
        Prompt(template="Question: {question}\nAnswer: ", separator=""),
    ],
    ids=["default", "joined", "line", "inst", "blank"],
)
def test_question_and_answer_are_one_text(make_it: Any, prompt: Prompt) -> None:
    tokenizer = make_it()
    for item in facts()[:4]:
        lead = prompt.template.replace("{question}", item.question)
        whole = tokenizer(lead + prompt.separator + item.answer)["input_ids"]
        text = Encoded.answer(tokenizer, prompt, item.question, item.answer)
        assert text.ids == [*whole, tokenizer.eos_token_id]
        labels = [label for label in text.labels if label != IGNORE]
        said = tokenizer.decode(labels, skip_special_tokens=True).strip()
        assert said.endswith(item.answer) and len(said) <= len(item.answer) + 3
        if said == item.answer:  # else one token lies across the beginning of the answer
            assert prompt.head(tokenizer, item.question) == text.ids[: -len(labels)]


def test_a_tokenizer_without_places_is_given_the_parts_one_after_the_other() -> None:
    class Slow:
        is_fast, eos_token_id = False, 0

        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            return {"input_ids": [1] * add_special_tokens + list(text.encode())}

    text = Encoded.answer(Slow(), Prompt(template="{question}"), "Who?", "Ada")  # type: ignore[arg-type]
    assert text.ids == [1, *b"Who? Ada", 0] and text.labels[:5] == [IGNORE] * 5


def test_generation_stops_where_the_turn_ends_and_where_the_model_is_told_to() -> None:
    tokenizer = speaking(GEMMA, "<start_of_turn>", "<end_of_turn>")
    model = ready(make(named("llama"), vocab_size=len(tokenizer)), "cpu")
    turn, end = tokenizer.convert_tokens_to_ids(["<end_of_turn>", "<|end|>"])
    loaded = LoadedModel(model, tokenizer, Prompt(chat=True))
    model.generation_config = GenerationConfig(eos_token_id=[7])
    assert loaded.stops == sorted({turn, end, 7})
    asked: dict[str, Any] = {}

    def generate(**options: Any) -> torch.Tensor:
        asked.update(options)
        said = tokenizer("Lisbon")["input_ids"]
        ids = torch.tensor([*said, asked.get("stop", turn), *said])
        return torch.cat([options["input_ids"], ids.expand(len(options["input_ids"]), -1)], dim=1)

    model.generate = generate  # type: ignore[assignment]
    for stop in loaded.stops:
        asked["stop"] = stop
        assert complete(loaded, [[5, 6]], new_tokens=9) == ["Lisbon"]
    assert asked["eos_token_id"] == loaded.stops
    plain = LoadedModel(model, tokenizer, Prompt())
    assert plain.end_token == end
