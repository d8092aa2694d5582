"""Facts about people and the text that must survive. `DATA` maps a source's name to its class."""

from lacuna.data import jsonl, lume, panorama, profiles, synthetic, tofu
from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.book import Book
from lacuna.data.general import with_general_knowledge
from lacuna.data.neutral import neutral_sentences
from lacuna.data.refusals import REFUSALS
from lacuna.data.splits import SplitConfig, Splits, by_groups, draw_splits, group_of
from lacuna.data.synthetic import statements

__all__ = [
    "DATA",
    "REFUSALS",
    "Book",
    "Corpus",
    "Example",
    "Source",
    "SplitConfig",
    "Splits",
    "by_groups",
    "draw_splits",
    "group_of",
    "jsonl",
    "lume",
    "neutral_sentences",
    "panorama",
    "profiles",
    "statements",
    "synthetic",
    "tofu",
    "with_general_knowledge",
]
