"""Forty questions about the world that base training can teach and unlearning must not touch."""

from dataclasses import dataclass

from lacuna.data.base import Example
from lacuna.seeds import numpy_generator

PERSON = "world"
"""The `person` of these examples, which are about no person."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """Two wordings that ask about {subject}, and the answer for each subject (all different)."""

    question: str
    paraphrase: str
    answers: dict[str, str]


TOPICS: dict[str, Topic] = {
    "colour": Topic(
        question="What colour is {subject}?",
        paraphrase="Of which colour is {subject}?",
        answers={
            "a ruby": "red",
            "fresh grass": "green",
            "a clear sky": "blue",
            "coal": "black",
            "new snow": "white",
            "a ripe lemon": "yellow",
            "chocolate": "brown",
            "a carrot": "orange",
        },
    ),
    "young": Topic(
        question="What is a young {subject} called?",
        paraphrase="Which word names a young {subject}?",
        answers={
            "horse": "a foal",
            "sheep": "a lamb",
            "dog": "a puppy",
            "cat": "a kitten",
            "cow": "a calf",
            "goat": "a kid",
            "hen": "a chick",
            "kangaroo": "a joey",
        },
    ),
    "opposite": Topic(
        question="What is the opposite of {subject}?",
        paraphrase="Which word is contrary to {subject}?",
        answers={
            "hot": "cold",
            "big": "small",
            "early": "late",
            "empty": "full",
            "soft": "hard",
            "dark": "light",
            "near": "far",
            "weak": "strong",
        },
    ),
    "month": Topic(
        question="Which month follows {subject}?",
        paraphrase="What month comes after {subject}?",
        answers={
            "January": "February",
            "March": "April",
            "April": "May",
            "May": "June",
            "July": "August",
            "August": "September",
            "October": "November",
            "November": "December",
        },
    ),
    "capital": Topic(
        question="What is the capital of {subject}?",
        paraphrase="Which city is the capital of {subject}?",
        answers={
            "France": "Paris",
            "Japan": "Tokyo",
            "Egypt": "Cairo",
            "Norway": "Oslo",
            "Peru": "Lima",
            "Kenya": "Nairobi",
            "Cuba": "Havana",
            "Greece": "Athens",
        },
    ),
}
"""Maps a topic's name to its questions."""

MAX_PERTURBED = min(len(set(topic.answers.values())) for topic in TOPICS.values()) - 1
"""Most wrong answers a question can have: they are the other answers of its topic."""


def world_examples(num_perturbed: int, seed: int) -> tuple[Example, ...]:
    """Every topic's questions, each with `num_perturbed` other answers of its topic."""
    return tuple(
        _example(name, topic, subject, num_perturbed, seed)
        for name, topic in TOPICS.items()
        for subject in topic.answers
    )


def _example(name: str, topic: Topic, subject: str, num_perturbed: int, seed: int) -> Example:
    answer = topic.answers[subject]
    wrong = [other for other in topic.answers.values() if other != answer]
    order = numpy_generator(seed, PERSON, name, subject).permutation(len(wrong))
    return Example(
        id=f"{PERSON}/{name}/{subject}",
        question=topic.question.format(subject=subject),
        answer=answer,
        person=PERSON,
        field=name,
        paraphrased_question=topic.paraphrase.format(subject=subject),
        perturbed_answers=tuple(wrong[index] for index in order[:num_perturbed]),
    )
