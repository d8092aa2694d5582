"""The data card that `plan` prints."""

from support.studies import planned

from lacuna.data import Corpus, Example
from lacuna.data.card import data_card
from lacuna.model import train_tokenizer
from sweeps.plan.estimate import estimate_study


def example(number: int, question: str, answer: str) -> Example:
    return Example(id=str(number), question=question, answer=answer, person="p", field=str(number))


CORPUS = Corpus(
    name="c",
    forget=[example(0, "Where is Ada?", "Oslo"), example(1, "Where  is ADA?", "oslo.")],
    retain=[example(2, "Where is Ben?", "in Lima today"), example(3, "Где Бен?", "東京 東京")],
    holdout=[example(4, "Where is Ben?", "Rome")],
)


def test_the_card_counts_lengths_doubles_and_scripts() -> None:
    lengths, rest = data_card(CORPUS)
    assert lengths == (
        "questions: 2 to 3 (median 3) words; answers: 1 to 3 (median 1) words, 3 of one word"
    )
    assert rest.startswith(
        "facts that stand twice: 1; questions with several answers: 1; letters: Latin 8"
    )
    assert "Cyrillic" in rest and "Han" in rest


def test_with_a_tokenizer_lengths_are_in_its_tokens() -> None:
    tokenizer = train_tokenizer(["Oslo Rome Lima"] * 9, 300)
    single = sum(len(tokenizer(item)["input_ids"]) == 1 for item in ("Oslo", "oslo.", "Rome"))
    line = data_card(CORPUS, tokenizer)[0]
    assert line.endswith(f"tokens, {single} of one token") and single >= 1
    longest = len(tokenizer("東京 東京")["input_ids"])
    assert f"answers: 1 to {longest} " in line


def test_plan_prints_the_card() -> None:
    text = estimate_study(planned("artifacts=/nonexistent")).text()
    assert "data: questions: " in text and "letters: Latin 100.0%" in text
