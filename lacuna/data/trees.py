"""Texts as trees: what several texts begin with is read once.

Texts that share a prompt (all in front of the first label) stand in one row, each token after those
that it follows in its text: a token's own followers are the next ones, up to its `end`. The last
token of a text predicts nothing, and is left out.

Shapes: R rows, T places, K places that predict a label, N labelled tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lacuna.data.tokens import IGNORE, Encoded

WORTH = 1 / 8
"""Texts of one prompt share a row where that saves at least this part of their tokens."""


@dataclass(frozen=True, eq=False)
class TreeBatch:
    """Rows of trees, padded on the right."""

    ids_RT: Tensor
    depth_RT: Tensor
    """How many tokens stand before a token in its text."""
    end_RT: Tensor
    """The place behind the last token that follows this one."""
    keep_RT: Tensor
    """True where a label is predicted: at K places."""
    from_N: Tensor
    """Which of the K places predicts a labelled token."""
    labels_N: Tensor
    table_N: NDArray[np.int64]
    """Which labelled token of all texts it is, counted text after text."""
    nodes_K: NDArray[np.int64]
    """The places' numbers among all tokens of all trees."""
    branching: bool
    """Whether some token is followed by several; else each row is a plain text."""

    def to(self, device: torch.device | str) -> "TreeBatch":
        """The same batch on another device."""
        names = ("ids_RT", "depth_RT", "end_RT", "keep_RT", "from_N", "labels_N")
        return TreeBatch(**{**vars(self), **{n: getattr(self, n).to(device) for n in names}})

    @property
    def sees_RTT(self) -> Tensor:
        """True where a token (second axis T) stands before another in its text, or is that one."""
        places_T = torch.arange(self.ids_RT.shape[1], device=self.ids_RT.device)
        before_TT = places_T[:, None] >= places_T
        return before_TT & (places_T[:, None] < self.end_RT[:, None, :])


@dataclass
class _Tree:
    """Texts that share their beginning, in the order of their tokens."""

    members: list[int]
    """Positions of the texts in the list that they come from."""
    ids: list[int] = field(default_factory=list)
    depth: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    parent: list[int] = field(default_factory=list)
    paths: list[list[int]] = field(default_factory=list)
    """The places of each text's tokens but the last."""
    first: int = 0
    """Number of its first token among those of all trees."""

    @property
    def branching(self) -> bool:
        return any(end < len(self.ids) for end in self.end)


class Trees:
    """Texts laid out for reading."""

    def __init__(self, encoded: Sequence[Encoded], max_tokens: int, *, share: bool = True) -> None:
        """At most `max_tokens` tokens (padding counted) a batch; `share` False lays each text out
        alone."""
        self.encoded, self.max_tokens = encoded, max_tokens
        labelled = [[t for t, x in enumerate(e.labels) if t and x != IGNORE] for e in encoded]
        self.offsets = np.concatenate([[0], np.cumsum(np.array([*map(len, labelled)], np.int64))])
        self._labelled = labelled
        # what stands behind the token that predicts the last label is not needed
        read = {i: encoded[i].ids[: places[-1]] for i, places in enumerate(labelled) if places}
        prompts: dict[tuple[int, ...], list[int]] = {}
        for i, ids in read.items():
            prompts.setdefault((*ids[: labelled[i][0]], *(() if share else (i,))), []).append(i)
        trees = [tree for group in prompts.values() for tree in _worthwhile(read, group)]
        self.trees = sorted(trees, key=lambda tree: (tree.branching, -len(tree.ids), tree.members))
        self.size = 0
        for tree in self.trees:
            tree.first = self.size
            self.size += len(tree.ids)
        self.batches = [self._batch(rows) for rows in self._rows()]

    @property
    def extremes(self) -> list[Encoded]:
        """The texts of the longest row with branches, and of that with the longest text."""
        branching = [tree for tree in self.trees if tree.branching]
        ends = [max(branching, key=size, default=None) for size in (_width, _height)]
        members = dict.fromkeys(i for tree in ends if tree for i in tree.members)
        return [self.encoded[i] for i in members]

    def _rows(self) -> Iterator[list[_Tree]]:
        start = 0
        while start < len(self.trees):
            first = self.trees[start]
            stop = start + max(1, self.max_tokens // len(first.ids))
            rows = [tree for tree in self.trees[start:stop] if tree.branching == first.branching]
            yield rows
            start += len(rows)

    def _batch(self, rows: Sequence[_Tree]) -> TreeBatch:
        shape = len(rows), len(rows[0].ids)
        ids_RT, depth_RT = (
            torch.zeros(shape, dtype=torch.long),
            torch.zeros(shape, dtype=torch.long),
        )
        end_RT = torch.arange(1, shape[1] + 1).repeat(len(rows), 1)  # padding sees itself alone
        keep_RT = np.zeros(shape, dtype=bool)
        found: list[tuple[int, int, int, int]] = []
        for r, tree in enumerate(rows):
            width = len(tree.ids)
            ids_RT[r, :width] = torch.tensor(tree.ids)
            depth_RT[r, :width] = torch.tensor(tree.depth)
            end_RT[r, :width] = torch.tensor(tree.end)
            for i, path in zip(tree.members, tree.paths, strict=True):
                labels, offset = self.encoded[i].labels, int(self.offsets[i])
                found += [
                    (r, path[t - 1], labels[t], offset + n) for n, t in enumerate(self._labelled[i])
                ]
        row_N, place_N, labels_N, table_N = np.array(found, dtype=np.int64).reshape(-1, 4).T
        keep_RT[row_N, place_N] = True
        number_RT = np.cumsum(keep_RT).reshape(shape) - 1
        starts_R = np.array([tree.first for tree in rows])
        row_K, place_K = keep_RT.nonzero()
        return TreeBatch(
            ids_RT,
            depth_RT,
            end_RT,
            torch.from_numpy(keep_RT),
            torch.from_numpy(number_RT[row_N, place_N]),
            torch.from_numpy(labels_N.copy()),
            table_N,
            starts_R[row_K] + place_K,
            rows[0].branching,
        )


@dataclass(frozen=True)
class Following:
    """Steps from token to token through all trees, by number."""

    roots: Mapping[int, list[int]]
    """Token -> the first tokens of trees that begin with it."""
    steps: Mapping[tuple[int, int], int]
    """(a token's number, the next token) -> that one's number."""

    @classmethod
    def of(cls, trees: Trees) -> "Following":
        """The steps of these trees."""
        roots: dict[int, list[int]] = {}
        steps: dict[tuple[int, int], int] = {}
        for tree in trees.trees:
            roots.setdefault(tree.ids[0], []).append(tree.first)
            for place in range(1, len(tree.ids)):
                steps[tree.first + tree.parent[place], tree.ids[place]] = tree.first + place
        return cls(roots, steps)

    def find(self, ids: Sequence[int]) -> list[int]:
        """The numbers of tokens at which texts that begin with `ids` have got so far."""
        found = self.roots.get(ids[0], []) if ids else []
        for token in ids[1:]:
            found = self.step(found, token)
        return found

    def step(self, nodes: Sequence[int], token: int) -> list[int]:
        """One token further."""
        return [self.steps[node, token] for node in nodes if (node, token) in self.steps]


def _width(tree: _Tree) -> int:
    return len(tree.ids)


def _height(tree: _Tree) -> int:
    return max(tree.depth)


def _worthwhile(texts: Mapping[int, list[int]], members: Sequence[int]) -> list[_Tree]:
    """One tree of all members, or one of each."""
    whole = _grown(texts, members)
    alone = sum(len(texts[i]) for i in members)
    if len(members) == 1 or len(whole.ids) <= (1 - WORTH) * alone:
        return [whole]
    return [_grown(texts, [i]) for i in members]


def _grown(texts: Mapping[int, list[int]], members: Sequence[int]) -> _Tree:
    """Texts in the order of their tokens: what follows a token comes right behind it."""
    tree = _Tree(sorted(members, key=lambda i: (texts[i], i)))
    path: list[int] = []
    for i in tree.members:
        shared = 0
        while shared < min(len(path), len(texts[i])) and tree.ids[path[shared]] == texts[i][shared]:
            shared += 1
        for place in path[shared:]:
            tree.end[place] = len(tree.ids)
        path = path[:shared]
        for token in texts[i][shared:]:
            tree.parent.append(path[-1] if path else -1)
            path.append(len(tree.ids))
            tree.depth.append(len(path) - 1)
            tree.ids.append(token)
            tree.end.append(-1)
        tree.paths.append(list(path))
    tree.end = [len(tree.ids) if end < 0 else end for end in tree.end]
    return tree
