"""Facts about people and the text that must survive. `DATA` maps a source's name to its class."""

from lacuna.data import jsonl, lume, synthetic, tofu
from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.general import with_general_knowledge
from lacuna.data.neutral import neutral_sentences
from lacuna.data.refusals import REFUSALS
from lacuna.data.synthetic import statements

__all__ = [
    "DATA",
    "REFUSALS",
    "Corpus",
    "Example",
    "Source",
    "jsonl",
    "lume",
    "neutral_sentences",
    "statements",
    "synthetic",
    "tofu",
    "with_general_knowledge",
]
