"""Statistics of every labelled token, from one teacher-forced pass.

Shapes: I items, N labelled tokens of all items together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class TokenTable:
    """Statistics of every labelled token of I items, item after item."""

    offsets: NDArray[np.int64]
    """(I+1,) item i owns tokens offsets[i]:offsets[i+1]; an item may own none."""
    nll: NDArray[np.float64]
    """(N,) -log p(label), in nats."""
    greedy: NDArray[np.bool_]
    """(N,) whether the most likely token is the label."""
    mean: NDArray[np.float64]
    """(N,) E_{v~p}[log p(v)] (the mu of min-k++)."""
    variance: NDArray[np.float64]
    """(N,) Var_{v~p}[log p(v)]."""
    end: NDArray[np.bool_]
    """(N,) whether the label is the end-of-text token that closes its item."""


def split_items(table: TokenTable, items: Sequence[int]) -> TokenTable:
    """The table of the chosen items, in the chosen order; an item may be chosen more than once."""
    counts = np.diff(table.offsets)[list(items)]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    places = np.arange(offsets[-1]) + np.repeat(
        table.offsets[:-1][list(items)] - offsets[:-1], counts
    )
    columns = {f.name: getattr(table, f.name)[places] for f in fields(table) if f.name != "offsets"}
    return TokenTable(offsets=offsets, **columns)
