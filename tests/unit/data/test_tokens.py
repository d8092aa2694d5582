"""From text to batches: spans, padding, shuffling."""

import pytest
from support.families import tokenizer as bytes_tokenizer
from support.tiny import tiny_texts
from tokenizers import Tokenizer as RawTokenizer
from tokenizers import models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from lacuna.data.base import Example
from lacuna.data.tokens import (
    IGNORE,
    Encoded,
    Prompt,
    TrainingBatches,
    collate,
    encode_examples,
    reading_batches,
    typed,
)
from lacuna.errors import UserError


def tokenizer(*, eos: str | None = "<e>", wrap: str = "$A") -> PreTrainedTokenizerFast:
    """Whole words; `wrap` is the template of special tokens, as in '<b> $A <e>'."""
    words = ["<u>", "<b>", "<e>", "Who", "is", "she", "?", "Ada", "Byron", "user", ":", "."]
    raw = RawTokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<u>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [("<b>", 1), ("<e>", 2)]
    raw.post_processor = processors.TemplateProcessing(single=wrap, special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token=eos, unk_token="<u>")


def test_only_the_answer_and_its_end_are_labelled() -> None:
    text = Encoded.answer(tokenizer(), Prompt(template="{question}"), "Who is she?", "Ada Byron")
    assert text.ids == [3, 4, 5, 6, 7, 8, 2]
    assert text.labels == [IGNORE] * 4 + [7, 8, 2]


@pytest.mark.parametrize("wrap", ["<b> $A", "<b> $A <e>"])
def test_the_prompt_opens_with_begin_of_text_and_never_holds_an_end(wrap: str) -> None:
    text = Encoded.answer(tokenizer(wrap=wrap), Prompt(template="{question}"), "Who is", "Ada")
    assert text.ids == [1, 3, 4, 7, 2]
    assert text.labels == [IGNORE] * 3 + [7, 2]


def test_a_tokenizer_without_an_end_token_leaves_the_answer_open() -> None:
    plain = Encoded.answer(tokenizer(eos=None), Prompt(template="{question}"), "Who is", "Ada")
    assert plain.ids == [3, 4, 7]
    assert plain.labels == [IGNORE, IGNORE, 7]


@pytest.mark.parametrize("wrap", ["$A", "$A <e>"])
def test_plain_text_is_labelled_throughout_and_closed_once(wrap: str) -> None:
    text = Encoded.text(tokenizer(wrap=wrap), "she is Ada")
    assert text.ids == text.labels == [5, 4, 7, 2]


def test_a_chat_prompt_uses_the_template_of_the_tokenizer() -> None:
    speaking = tokenizer(wrap="<b> $A")
    speaking.chat_template = "user : {{ messages[0]['content'] }} ."
    text = Encoded.answer(speaking, Prompt(chat=True), "Who is", "Ada")
    assert text.ids == [9, 10, 3, 4, 11, 7, 2]
    assert text.labels == [IGNORE] * 5 + [7, 2]


def test_a_chat_prompt_depends_on_no_day_and_does_not_think() -> None:
    speaking = tokenizer()
    speaking.chat_template = (
        "{% if strftime_now is defined %}{{ strftime_now('%Y') }} {% endif %}{{ date_string }}"
        "{% if enable_thinking %} Who{% endif %} {{ messages[-1]['content'] }}"
    )
    plain = Prompt(chat=True)._chat(speaking, "is")
    assert plain == "26 Jul 2024 26 Jul 2024 is"
    speaking.chat_template = "{% for m in messages %}{{ m.role }} {{ m.content }} {% endfor %}"
    assert Prompt(chat=True)._chat(speaking, "is") == "user is "
    assert Prompt(chat=True, system="Ada")._chat(speaking, "is") == "system Ada user is "


BRACES = ("Who is", "{}", "{0}", "{question}", "{{she}}", "%s {a!r:>9}")


@pytest.mark.parametrize(
    "template", ['{"q": "{question}"}', "{instruction}{question}", "{{question}}"]
)
def test_braces_other_than_those_of_the_question_are_text(template: str) -> None:
    speaking, prompt = bytes_tokenizer(), Prompt(template=template)
    for question in BRACES:
        text = Encoded.answer(speaking, prompt, question, "Ada")
        wanted = template.replace("{question}", question) + " Ada"
        assert speaking.decode(text.ids, skip_special_tokens=True) == wanted


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (r"a\nb", "a\nb"),
        (r"a\tb", "a\tb"),
        (r"a\\nb", r"a\nb"),
        (r"a\qb", r"a\qb"),
        ("a\nb", "a\nb"),
    ],
)
def test_text_from_a_command_line_is_what_it_looks_like(given: str, meant: str) -> None:
    assert typed(given) == meant


def test_prompts_that_cannot_work_are_refused() -> None:
    with pytest.raises(UserError, match=r"no system message: set model\.prompt\.chat=true"):
        Prompt(system="You are Ada.")
    with pytest.raises(UserError, match=r"lacks \{question\}"):
        Prompt(template="Question:")
    with pytest.raises(UserError, match="no chat template"):
        Prompt(chat=True).head(tokenizer(), "Who is")


def test_examples_are_encoded_in_their_order() -> None:
    items = [
        Example(id=str(i), question="Who is", answer=word, person="p", field="name")
        for i, word in enumerate(["Ada", "Byron"])
    ]
    texts = encode_examples(tokenizer(), Prompt(template="{question}"), items)
    assert [text.ids for text in texts] == [[3, 4, 7, 2], [3, 4, 8, 2]]


def test_padding_is_on_the_right_and_never_labelled() -> None:
    texts = [Encoded([5, 6, 7], [IGNORE, 6, 7]), Encoded([8], [IGNORE]), Encoded([9, 2], [9, 2])]
    batch = collate(texts, [2, 0], pad=4)
    assert batch.ids_BT.tolist() == [[9, 2, 4], [5, 6, 7]]
    assert batch.labels_BT.tolist() == [[9, 2, IGNORE], [IGNORE, 6, 7]]
    assert batch.index_B.tolist() == [2, 0]
    assert batch.real_BT.tolist() == [[True, True, False], [True, True, True]]


def test_reading_takes_every_text_once_within_the_token_limit() -> None:
    texts = tiny_texts(11, answer=(1, 9, 4, 2))
    batches = list(reading_batches(texts, 30))
    assert sorted(i for batch in batches for i in batch.index_B.tolist()) == list(range(11))
    assert all(batch.ids_BT.numel() <= 30 for batch in batches)
    assert len(batches) < 11
    one_each = list(reading_batches(texts, 1))
    assert [batch.ids_BT.shape[0] for batch in one_each] == [1] * 11
    widths = [batch.ids_BT.shape[1] for batch in batches]
    assert widths == sorted(widths, reverse=True)


def rows(batches: TrainingBatches, steps: range) -> list[list[int]]:
    return [batches[step].index_B.tolist() for step in steps]


def test_each_epoch_reads_every_text_once_in_another_order() -> None:
    batches = TrainingBatches(tiny_texts(10), 4, seed=1)
    epochs = [rows(batches, range(3 * e, 3 * e + 3)) for e in range(3)]
    for epoch in epochs:
        assert sorted(sum(epoch, [])) == list(range(10))
        assert sorted(map(len, epoch)) == [2, 4, 4]
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_step_has_the_same_batch_whenever_it_is_asked_for() -> None:
    texts = tiny_texts(10)
    in_order = rows(TrainingBatches(texts, 4, seed=1), range(9))
    jumping = TrainingBatches(texts, 4, seed=1)
    assert {s: jumping[s].index_B.tolist() for s in (8, 0, 4, 7, 1)} == {
        s: in_order[s] for s in (8, 0, 4, 7, 1)
    }
    assert rows(TrainingBatches(texts, 4, seed=2), range(9)) != in_order


def test_rows_of_like_length_share_a_training_batch() -> None:
    texts = tiny_texts(32, answer=(1, 12))
    batches = TrainingBatches(texts, 4, seed=0)
    for step in range(8):
        assert batches[step].lengths_B.unique().numel() == 1


def test_training_on_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="nothing to train on"):
        TrainingBatches([], 4, seed=0)
