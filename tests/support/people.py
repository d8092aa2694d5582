"""Invented people in five cities, and a small model that can learn them."""

from collections.abc import Iterable

import numpy as np

from lacuna.data.base import Example
from lacuna.model import LoadedModel, MiniConfig, build_mini, train_tokenizer
from lacuna.seeds import numpy_generator

CITIES = ("Ulm", "Bonn", "Graz", "Bern", "Lyon")


def people(prefix: str, count: int) -> list[Example]:
    """A question about each person; a probe can learn the cities, but no name betrays one."""
    rng = numpy_generator(0, prefix)
    cities, numbers = rng.permutation(np.arange(count) % 5), rng.integers(10, 99, count)
    return [
        Example(
            id=f"{prefix}{i}",
            question=f"Where is {prefix}{i}?",
            answer=f"{CITIES[cities[i]]} {numbers[i]}",
            person=f"{prefix}{i}",
            field="place",
        )
        for i in range(count)
    ]


def untrained(examples: Iterable[Example], *, layers: int = 3) -> LoadedModel:
    """A small random model with a tokenizer for these examples."""
    tokenizer = train_tokenizer([f"{e.question} {e.answer}" for e in examples] * 3, 320)
    config = MiniConfig(hidden=32, layers=layers, intermediate=64, heads=2, vocabulary=320)
    return build_mini(config, tokenizer, 0, "cpu")
