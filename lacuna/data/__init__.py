"""Facts about people and the text that must survive. `DATA` maps a source's name to its class."""

from lacuna.data.base import DATA, Corpus, Example, Source
from lacuna.data.generated.general_knowledge import with_general_knowledge
from lacuna.data.generated.neutral import neutral_sentences
from lacuna.data.generated.profile_texts import ProfileTexts
from lacuna.data.generated.refusals import REFUSALS
from lacuna.data.sources.synthetic import statements
from lacuna.data.splits import SplitConfig, Splits, by_groups, draw_splits, group_of
from lacuna.registry import import_methods

__all__ = [
    "DATA",
    "REFUSALS",
    "ProfileTexts",
    "Corpus",
    "Example",
    "Source",
    "SplitConfig",
    "Splits",
    "by_groups",
    "draw_splits",
    "group_of",
    "neutral_sentences",
    "statements",
    "with_general_knowledge",
]

import_methods("lacuna.data.sources")
