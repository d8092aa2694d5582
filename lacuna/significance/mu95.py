"""Pool-and-split test of MU95 (Lee et al., 2025, appendix D).

The paper calls it a bootstrap; as described, each round shuffles the pooled (MU, FQ) points of both
scenarios and splits them into groups of the original sizes: a permutation of the pool.

Limit: as for `aues`, points of one curve are not independent, and a split may leave a group without
points beyond the threshold (`evaluate.curves.mu95` then reads the nearest point).
"""

import numpy as np
from numpy.typing import ArrayLike

from lacuna.evaluate.curve_summaries import mu95


def pool_split(
    mu_a: ArrayLike,
    fq_a: ArrayLike,
    mu_b: ArrayLike,
    fq_b: ArrayLike,
    *,
    start: float,
    rounds: int,
    generator: np.random.Generator,
) -> float:
    """p that a random split of the pool differs in MU95 as much as the scenarios do.

    Each array is (A,); `start` is the model utility before unlearning, which both scenarios share.
    p counts the observed split as one more round, so it is never 0; it exceeds the published
    proportion by at most 1 / (rounds + 1).
    """
    observed = abs(mu95(mu_a, fq_a, start).value - mu95(mu_b, fq_b, start).value)
    mu, fq = np.concatenate([mu_a, mu_b]), np.concatenate([fq_a, fq_b])
    order = np.lexsort((fq, mu))
    mu, fq = mu[order], fq[order]  # sorted once: every subset of a sorted pool is sorted
    in_a = np.arange(len(mu)) < len(np.asarray(mu_a))
    target, reached = 0.95 * start, 1
    for _ in range(rounds):
        split = generator.permutation(in_a)
        value_a = np.interp(target, mu[split], fq[split])
        value_b = np.interp(target, mu[~split], fq[~split])
        reached += bool(abs(value_a - value_b) >= observed * (1 - 1e-12))
    return reached / (1 + rounds)
