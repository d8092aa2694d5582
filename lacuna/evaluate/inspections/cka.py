r"""Linear centred kernel alignment between two models' hidden states (Kornblith et al. 2019).

    CKA(X, Y) = <K, L> / (|K| |L|),   K = centred X X^T,   L = centred Y Y^T

with rows for the same items in the same order. 1: equal up to rotation, shift and scale; 0:
unrelated. Centring both sides of the Gram matrices is the published estimator, which is biased
upwards where items are few beside dimensions: unrelated random states score near 1. The debiased
form (Song et al. 2012; Nguyen et al. 2021) drops the diagonal and centres accordingly; its mean
over unrelated states is 0, so it can be slightly negative.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def linear_cka(
    x_ID: NDArray[np.floating], y_IE: NDArray[np.floating], debiased: bool = True
) -> float:
    """CKA of two sets of states of the same I items; widths may differ.

    NaN where a side does not vary between items, or where there are too few to say: 4 debiased, 2
    otherwise.
    """
    count = len(x_ID)
    assert count == len(y_IE), "CKA compares states of the same items"
    if count < (4 if debiased else 2):
        return float("nan")
    k_II, l_II = (_centred_gram(states, debiased) for states in (x_ID, y_IE))
    norms = np.linalg.norm(k_II) * np.linalg.norm(l_II)
    return float((k_II * l_II).sum() / norms) if norms > 0 else float("nan")


def _centred_gram(states: NDArray[np.floating], debiased: bool) -> Floats:
    """Gram matrix of centred states; all zero where what varies is rounding."""
    wide = states.astype(np.float64)
    centred = wide - wide.mean(axis=0)
    if np.linalg.norm(centred) <= 1e-9 * np.linalg.norm(wide):
        return np.zeros((len(states), len(states)))
    gram: Floats = centred @ centred.T
    if not debiased:
        return gram
    count = len(gram)
    np.fill_diagonal(gram, 0.0)
    sums_I = gram.sum(axis=0) / (count - 2)
    gram = gram - sums_I[:, None] - sums_I[None, :] + sums_I.sum() / (count - 1)
    np.fill_diagonal(gram, 0.0)
    return gram
