"""What tests of unlearning share: texts to forget, to keep and to refuse with, and methods."""

from typing import Any

from lacuna.unlearn import OBJECTIVES, Objective, UnlearnData
from support.tiny import tiny_texts

FORGET, RETAIN = tiny_texts(4, seed=1), tiny_texts(6, seed=2)
REFUSALS = tiny_texts(4, seed=3, answer=(3,))
DATA = UnlearnData(FORGET, RETAIN, REFUSALS)


def objective(name: str, **options: Any) -> Objective:
    """The registered objective with these options and defaults for the rest."""
    return OBJECTIVES[name](OBJECTIVES[name].Config(**options))
