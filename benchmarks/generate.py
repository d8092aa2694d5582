"""Greedy answers: lacuna's batches against one question at a time and batches as they come.

    python -m benchmarks.generate [--items 48] [--tokens 48] [--repeats 3] [--threads 2]

Lacuna sorts questions by length, fills batches up to a number of tokens and ends a batch when all
of its rows have ended. The plain ways: a call for each question, and batches of 8 in the order
given, as evaluation suites do. All keep keys and values, and all must say the same. Random weights;
questions of random words whose numbers of tokens are those of TOFU's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from benchmarks import seven_b
from benchmarks._measure import Laps, options, table
from benchmarks._report import at_least_one
from lacuna.evaluate.generate import complete, prompts
from lacuna.model import LoadedModel

SHAPE = seven_b.Shape(256, 1024, 6, 8, 8192, needs_gpu=False)
BATCH = 8


@dataclass(frozen=True)
class Comparison:
    """What one run gave."""

    laps: Mapping[str, Laps]
    tokens: int
    """Most tokens that all answers can have together."""
    equal: Mapping[str, int]
    """Plain way -> answers equal to lacuna's."""
    items: int


def lacuna(loaded: LoadedModel, heads: list[list[int]], tokens: int) -> list[str]:
    """All at once."""
    return complete(loaded, heads, new_tokens=tokens)


def one_by_one(loaded: LoadedModel, heads: list[list[int]], tokens: int) -> list[str]:
    """A call for each question."""
    return [complete(loaded, [head], new_tokens=tokens)[0] for head in heads]


def in_order(loaded: LoadedModel, heads: list[list[int]], tokens: int) -> list[str]:
    """Batches of equally many questions, as they come."""
    parts = [heads[start : start + BATCH] for start in range(0, len(heads), BATCH)]
    return [said for part in parts for said in complete(loaded, part, new_tokens=tokens)]


WAYS = {"lacuna": lacuna, "one by one": one_by_one, "in order": in_order}


def compare(shape: seven_b.Shape, items: int, tokens: int, repeats: int, seed: int) -> Comparison:
    """`repeats` rounds of every way after one of warm-up."""
    loaded = seven_b.build(shape, seed, torch.device("cpu"))
    loaded.model.float()
    heads = prompts(loaded, seven_b.corpus(replace(shape, items=items), seed).forget)
    laps = {name: Laps() for name in WAYS}
    for _ in range(repeats + 1):
        said = {}
        for name, way in WAYS.items():
            with laps[name].lap():
                said[name] = way(loaded, heads, tokens)
    equal = {
        name: sum(a == b for a, b in zip(said["lacuna"], own, strict=True))
        for name, own in said.items()
        if name != "lacuna"
    }
    return Comparison(
        {name: lap.after(1) for name, lap in laps.items()}, items * tokens, equal, items
    )


def describe(found: Comparison) -> str:
    """The comparison as text."""
    lines = [
        f"{found.items} questions, {found.tokens} new tokens at most",
        *table(found.laps, "lacuna", "round"),
        "answers equal to lacuna's: "
        + ", ".join(f"{name} {n} of {found.items}" for name, n in found.equal.items()),
    ]
    return "\n".join(lines)


def main() -> None:
    """Parse the command line, run, print."""
    parser = options("Greedy answers in batches against the plain ways.")
    parser.add_argument("--items", type=at_least_one, default=48, help="questions (48)")
    parser.add_argument("--tokens", type=at_least_one, default=48, help="new tokens each (48)")
    parser.add_argument("--repeats", type=at_least_one, default=3, help="rounds (3)")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(describe(compare(SHAPE, given.items, given.tokens, given.repeats, given.seed)))


if __name__ == "__main__":
    main()
