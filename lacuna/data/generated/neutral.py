"""General English sentences from a seeded grammar: text that is about nobody in particular."""

import re

from numpy.random import Generator

from lacuna.errors import UserError
from lacuna.seeds import numpy_generator

GRAMMAR: dict[str, tuple[str, ...]] = {
    "sentence": (
        "{opening} {clause} {ending}.",
        "{opening} {clause} {place}.",
        "{clause}, but {clause}.",
        "{clause} {place} {ending}.",
        "{reason}, {clause} {place}.",
    ),
    "opening": (
        "in the early morning,",
        "after a long winter,",
        "late in the evening,",
        "on a market day,",
        "before the first snow,",
        "during the warm season,",
        "for most of the week,",
        "at the end of the day,",
        "most years,",
        "some time ago,",
    ),
    "reason": (
        "because the road was wet",
        "since the harvest came late",
        "although the light was poor",
        "while the wind was rising",
        "as the water fell",
        "when the bells rang",
        "although the price was fair",
        "since the stove was cold",
    ),
    "ending": (
        "until the rain stopped",
        "without much noise",
        "as it does each year",
        "to everyone's surprise",
        "because nobody was hurried",
        "while the kettle boiled",
        "before the shops opened",
        "with great care",
        "for the third time",
        "and went back for more",
    ),
    "place": (
        "near the old bridge",
        "behind the school",
        "along the canal",
        "under the tall roof",
        "across the square",
        "beside the mill",
        "by the dark wood",
        "in the back garden",
        "on the upper floor",
        "by the harbour wall",
    ),
    "clause": (
        "the {adjective} {agent} {act} {thing}",
        "every {agent} {act} {thing}",
        "the village {agent} {act} {thing}",
        "a {agent} quietly {act} {thing}",
    ),
    "adjective": (
        "young",
        "tired",
        "careful",
        "cheerful",
        "local",
        "patient",
        "new",
        "quiet",
        "busy",
        "retired",
    ),
    "agent": (
        "baker",
        "farmer",
        "teacher",
        "carpenter",
        "gardener",
        "sailor",
        "painter",
        "tailor",
        "miller",
        "librarian",
        "cook",
        "driver",
        "shepherd",
        "printer",
    ),
    "act": (
        "mended",
        "carried",
        "sold",
        "borrowed",
        "cleaned",
        "counted",
        "painted",
        "found",
        "moved",
        "measured",
        "packed",
        "returned",
    ),
    "thing": (
        "the wooden chairs",
        "a basket of pears",
        "the heavy boxes",
        "some clean paper",
        "the broken clock",
        "two flour sacks",
        "the long ladder",
        "a coast map",
        "the copper pots",
        "an old blanket",
        "the garden tools",
        "a jar of honey",
        "the green curtains",
        "a few good stones",
    ),
}
"""Maps a symbol to its expansions; `{symbol}` inside one is expanded in turn."""

MAX_SENTENCES = 100_000
"""Limit far below the number of sentences that the grammar can make, so that repeated draws stay
rare."""

_SYMBOL = re.compile(r"\{(\w+)\}")


def _expand(symbol: str, rng: Generator) -> str:
    choices = GRAMMAR[symbol]
    chosen = choices[int(rng.integers(len(choices)))]
    return _SYMBOL.sub(lambda match: _expand(match[1], rng), chosen)


def neutral_sentences(count: int, seed: int) -> tuple[str, ...]:
    """`count` different sentences of 10 to 20 words; a longer draw starts with the shorter one.

    Raises `UserError` for a count outside 0 to `MAX_SENTENCES`.
    """
    if not 0 <= count <= MAX_SENTENCES:
        raise UserError(f"num_neutral={count} is out of range: use 0 to {MAX_SENTENCES}")
    rng = numpy_generator(seed, "neutral")
    sentences: dict[str, None] = {}
    while len(sentences) < count:
        text = _expand("sentence", rng)
        sentences[text[0].upper() + text[1:]] = None
    return tuple(sentences)
