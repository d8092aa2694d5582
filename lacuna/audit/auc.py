"""ROC-AUC and precision of per-weight scores, exactly or by a streaming histogram.

A `Tally` counts scores by their float32, all its bits (exact), or the first `COARSE`: sign,
exponent and 11 bits of mantissa, a bin 1/2048 of its value wide. No range need be known
beforehand, tallies of tensors add up, only bins with something in them are kept, and untouched
weights (0) share a bin with nothing else, in whatever tensor they are.

The error of a histogram is known afterwards. Pairs in different bins are ordered rightly; a pair in
one bin counts 1/2 instead of 0, 1/2 or 1. So |error of the AUC| <= sum_b p_b n_b / (2 P N) over the
bins that hold several values, with p_b of the P weights inside the truth and n_b of the N outside.
For smooth scores that is about 1e-4; a bin with one value in it (ties) errs by nothing.

Shapes: W weights, K truths, M bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

EXACT, COARSE, SKETCH = 32, 20, 18
"""Bits of a score that tell its bin; a sketch is for the Gini index."""
SEVERAL, NONE = -1, -2
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """A share of weights, and how far off it may be."""

    value: float
    error: float


@dataclass(frozen=True)
class Tally:
    """How many weights have which score, in all and inside each truth."""

    bits: int
    keys: Ints
    """(M,) ascending: what the bits of a score say as a number that orders as scores do."""
    counts: Ints
    """(1 + K, M): all weights, then those inside each truth."""
    rest: Ints
    """(M,) the further bits of the only value in a bin; `SEVERAL` where there are more values."""

    def __add__(self, other: "Tally") -> "Tally":
        assert self.bits == other.bits and len(self.counts) == len(other.counts)
        keys = np.union1d(self.keys, other.keys)
        counts = np.zeros((len(self.counts), len(keys)), dtype=np.int64)
        rest = np.full(len(keys), NONE)
        for part in (self, other):
            spot = np.searchsorted(keys, part.keys)
            counts[:, spot] += part.counts
            same = (rest[spot] == NONE) | (rest[spot] == part.rest)
            rest[spot] = np.where(same, part.rest, SEVERAL)
        return Tally(self.bits, keys, counts, rest)

    @property
    def total(self) -> int:
        """Number of weights."""
        return int(self.counts[0].sum())

    def values(self) -> NDArray[np.float64]:
        """(M,) the only value of each bin, or its middle."""
        width = EXACT - self.bits
        low = (np.abs(self.keys) << width) + np.maximum(self.rest, 0)
        high = low + np.where(self.rest == SEVERAL, (1 << width) - 1, 0)
        ends = [part.astype(np.int32).view(np.float32).astype(np.float64) for part in (low, high)]
        return np.sign(self.keys) * (ends[0] + ends[1]) / 2

    def auc(self, truth: int = 0) -> Share | None:
        """Chance that a weight inside scores above one outside, ties 1/2; None for one class."""
        inside = self.counts[1 + truth].astype(np.float64)
        outside = self.counts[0] - inside
        pairs = inside.sum() * outside.sum()
        if not pairs:
            return None
        below = np.cumsum(outside) - outside
        unsure = float((inside * outside)[self.rest == SEVERAL].sum())
        value = float((inside * (below + outside / 2)).sum() / pairs)
        return Share(value, unsure / (2 * pairs))

    def precision(self, share: float, truth: int = 0) -> Share:
        """Share inside the truth of the top `share` (at least one weight) of all weights.

        Where a bin must be cut, its weights are taken in random order: the mean over all orders.
        """
        count = max(1, int(share * self.total))
        every, inside = self.counts[0, ::-1], self.counts[1 + truth, ::-1]
        reached = np.cumsum(every)
        last = int(np.searchsorted(reached, count))
        rest = count - int(reached[last] - every[last])
        hits, size, held = int(inside[:last].sum()), int(every[last]), int(inside[last])
        taken = rest * held / size
        low, high = max(0, rest - (size - held)), min(rest, held)
        several = self.rest[::-1][last] == SEVERAL
        error = max(taken - low, high - taken) / count if several else 0.0
        return Share((hits + taken) / count, error)

    def gini(self) -> float | None:
        """Inequality of scores that are not negative: 0 all equal, 1 all in one weight.

        None where every score is 0. Off by at most 1/2048 in coarse bins, 1/512 in a sketch.
        """
        size, value = self.counts[0].astype(np.float64), self.values()
        mass, weights = float((size * value).sum()), float(size.sum())
        if not mass:
            return None
        middle_rank = np.cumsum(size) - size / 2
        return float(2 * (size * value * middle_rank).sum() / (mass * weights) - 1)


def tally(scores: Tensor, truths: Sequence[Tensor] = (), bits: int = COARSE) -> Tally:
    """Count scores of any shape; each truth is boolean, in the same shape.

    Scores are compared as float32. Without truths nobody asks for errors, and bins count as if they
    held several values.
    """
    raw = scores.detach().float().reshape(-1).view(torch.int32)
    keys = _keys(raw, bits)
    if bits == EXACT:
        values, place = torch.unique(keys, return_inverse=True)
    else:
        low, high = (int(end) for end in keys.aminmax())
        values, place = torch.arange(low, high + 1), keys - low
    inside = [place[truth.reshape(-1)] for truth in truths]
    counts = torch.stack([torch.bincount(part, minlength=len(values)) for part in (place, *inside)])
    kept = counts[0] > 0
    rest = torch.full((len(values),), 0 if bits == EXACT else SEVERAL, dtype=torch.int32)
    if truths and bits != EXACT:
        further = raw & ((1 << (EXACT - bits)) - 1)
        # Only the bin of 0 holds both signs: its negative values (-0 is none) differ by a bit.
        below = (keys == 0) & (raw < 0) & (further > 0)
        further = torch.where(below, further | (1 << (EXACT - bits)), further)
        rest[place] = further  # of one weight in the bin, whichever; then who differs from it
        rest[place[rest[place] != further]] = SEVERAL
    return Tally(
        bits, values[kept].long().numpy(), counts[:, kept].numpy(), rest[kept].long().numpy()
    )


def sketch(sizes: Tensor) -> Tensor:
    """(2^17,) how many of the sizes (none is negative) fall into each bin; sketches add up.

    For tensors that come in many blocks: nothing small is kept of a block, which would lie between
    the large pieces of memory that every block needs, and keep them from being used again.
    """
    keys = sizes.reshape(-1).view(torch.int32) >> (EXACT - SKETCH)
    return torch.bincount(keys, minlength=2 ** (SKETCH - 1))


def from_sketch(counts: Tensor) -> Tally:
    """The tally that a sketch stands for."""
    keys = counts.nonzero()[:, 0].numpy()
    held = counts[counts > 0].numpy()[None]
    return Tally(SKETCH, keys, held, np.full(len(keys), SEVERAL))


def exact_auc(scores: Tensor, truth: Tensor) -> float | None:
    """ROC-AUC of float32 scores, ties 1/2 (Mann-Whitney); None where the truth is one class."""
    found = tally(scores, [truth], EXACT).auc()
    return None if found is None else found.value


def _keys(raw: Tensor, bits: int) -> Tensor:
    """(W,) int32: the first bits of each score as a number that orders as scores do; 0 for 0."""
    if int(raw.min()) >= 0:
        return raw >> (EXACT - bits)
    magnitude = (raw & 0x7FFFFFFF) >> (EXACT - bits)
    return torch.where(raw < 0, -magnitude, magnitude)
