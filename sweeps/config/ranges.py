"""What any value of a study must be, whatever its key: a number in its range, a text that is text.

A method's own `Config` refuses what makes no sense to the method. Here stands what holds for all:
numbers are finite, no count is so large that planning would not end, none is below 0 where that
means nothing, and texts are Unicode that can be written to a file and seen on a screen.
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import NamedTuple

from lacuna.errors import UserError


class Range(NamedTuple):
    """Bounds of a number, both included."""

    least: float
    most: float


FLOAT32 = 3.4028234663852886e38
PLAIN = Range(0, 10**9)
"""Of numbers of which nothing narrower is said."""
RANGES = {
    "*seed": Range(0, 2**63 - 1),
    "*seeds": Range(0, 2**63 - 1),
    "data.forget_groups": Range(0, 999),
    "data.groups": Range(2, 1000),
    "data.max_facts": Range(0, 100),
    "data.num_neutral": Range(0, 10**5),
    "data.num_perturbed": Range(0, 100),
    "data.num_*": Range(0, 20_000),
    "data.prompts": Range(1, 1000),
    "data.prompt_repeats": Range(0, 10**6),
    "data.sentence_repeats": Range(0, 10**6),
    "localize.memflex.mu": Range(-1, 1),
    "masked.causal.neutral": PLAIN,
    "masked.causal.*": Range(0, 1),
    "masked.inject.betas": Range(0, 1),
    "masked.inject.decay": Range(0, 1),
    "masked.inject.dropout.rate": Range(0, 1),
    "masked.masks.forget_groups": Range(0, 999),
    "masked.masks.groups": Range(2, 1000),
    "masked.masks.skip_layers": Range(-1000, 1000),
    "masked.sgtm.retain_share": Range(0, 1),
    "model.mini.hidden": Range(1, 2**14),
    "model.mini.intermediate": Range(1, 2**16),
    "model.mini.layers": Range(1, 200),
    "model.mini.vocabulary": Range(258, 2**18),
    "regions": Range(1, 1000),
    "resources.*cpus": Range(0, 10**5),
    "resources.*gpus": Range(0, 10**5),
    "resources.flops": Range(0, 1e24),
    "resources.gpu_memory": Range(0, 10**6),
    "resources.sequences.*": Range(1, 10**6),
    "resources.workers": Range(1, 10**5),
    "search.eta": Range(2, 1000),
    "search.fs_*": Range(0, 1.5),
    "search.round": Range(1, 1000),
    "search.rungs": Range(0, 100),
    "search.trials": Range(1, 1000),
    "significance.permutations": Range(1, 10**7),
    "unlearn.lr": Range(0, FLOAT32),
    "unlearn.lrs.*": Range(0, FLOAT32),
    "unlearn.options.memflex_lora.sim": Range(-1, 1),
    "evaluate.alphas": Range(2, 10_001),
    "evaluate.rescalings": Range(0, 100),
    "attack.success_k": Range(0, 10_000),
    "*parallel.workers": Range(1, 10_000),
}
"""Keys, the first that fits, whose numbers have bounds of their own."""
EMPTY = ("model.prompt.separator", "model.prompt.system", "model.source")
"""Texts that may be empty: the first two mean it, of the last more is said later."""
LONGEST = 10_000
"""Entries of a list, and letters of a text."""
REPEATED = ("masked.inject.betas",)
"""Lists whose entries may be equal."""


def check_values(values: Mapping[str, object]) -> None:
    """Raise `UserError` for the first number that is not finite or far too large, text that is no
    text, or list that is too long or names a value twice."""
    for key, value in _leaves(values):
        if isinstance(value, Sequence) and not isinstance(value, str):
            _check_list(key, value)
        for one in _entries(value):
            if isinstance(one, str):
                _check_text(key, one)
            elif isinstance(one, int | float) and not isinstance(one, bool):
                _check_size(key, one)


def check_bounds(values: Mapping[str, object]) -> None:
    """Raise `UserError` for the first number outside its range, or text that is empty.

    After every `Config` was made: what a method says of its own options says more.
    """
    for key, value in _leaves(values):
        for one in _entries(value):
            if one == "" and key not in EMPTY:
                raise UserError(f"{key} is empty: give a value, or leave it out")
            if isinstance(one, int | float) and not isinstance(one, bool):
                least, most = _range(key)
                if not least <= one <= most:
                    raise UserError(f"{key}={_text(one)}: must be {least:,} to {_text(most)}")


def _check_size(key: str, number: float) -> None:
    most = max(abs(bound) for bound in _range(key))
    if not -most <= number <= most:  # nor does NaN lie between
        raise UserError(f"{key}={_text(number)}: must be a finite number of at most {_text(most)}")


@lru_cache(maxsize=4096)
def _range(key: str) -> Range:
    return next((own for shape, own in RANGES.items() if fnmatchcase(key, shape)), PLAIN)


def _text(number: float) -> str:
    return f"{number:,.0f}" if abs(number) < 10**9 and number % 1 == 0 else f"{number:g}"


def _check_list(key: str, entries: Sequence[object]) -> None:
    if len(entries) > LONGEST:
        raise UserError(f"{key} has {len(entries)} values: at most {LONGEST}")
    if key not in REPEATED and len(set(map(repr, entries))) < len(entries):
        raise UserError(f"{key}={str(entries)[:80]}: give at least one value, each once")


def _check_text(key: str, text: str) -> None:
    if len(text) > LONGEST:
        raise UserError(f"{key} has {len(text)} letters: at most {LONGEST}")
    for letter in text:
        kind = unicodedata.category(letter)
        if kind in ("Cc", "Cs") and letter not in "\n\t":
            raise UserError(f"{key}={text[:80]!r}: {letter!r} is no letter of a text: leave it out")
        if letter in _TURNS:
            raise UserError(f"{key}={text[:80]!a}: it turns the direction of writing: leave it out")


_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def _leaves(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """(dotted key, value) of everything that is no section."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _entries(value: object) -> Iterator[object]:
    """The value, or what its lists hold."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        for one in value:
            yield from _entries(one)
    else:
        yield value
