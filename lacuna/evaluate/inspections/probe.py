"""Probes: can an answer be read off a hidden state, whatever the model then says?

A probe learns from items that the model knows (retain) which state stands for which label, and is
asked about others (forget). Both probes see states standardised by the mean and deviation of the
items learned from. The model that never saw the forgotten facts gives the floor: what the question
alone betrays.

    knn      most votes among the 5 most similar states by cosine; ties go to the nearest
    linear   ridge regression on one-hot labels, largest output wins; the penalty is a tenth of the
             states' mean squared length, so that it has no unit

Shapes: I items asked about, T items learned from, D width, C labels.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
States = NDArray[np.floating]
Labels = NDArray[np.int64]
NEIGHBOURS = 5
"""Voters of the k-NN probe."""
PENALTY = 0.1
"""Ridge penalty over the mean squared length of a standardised state."""


def knn_probe(known_TD: States, labels_T: Labels, asked_ID: States, truth_I: Labels) -> Floats:
    """(I,) 1 where the vote is right, 0 where not, NaN where no item learned from has the label."""
    known_TD, asked_ID = _standardised(known_TD, asked_ID)
    similarity_IT = _unit(asked_ID) @ _unit(known_TD).T
    nearest_IK = np.argsort(-similarity_IT, axis=1, kind="stable")[:, :NEIGHBOURS]
    voted_IK = labels_T[nearest_IK]
    votes_IK = (voted_IK[:, :, None] == voted_IK[:, None, :]).sum(axis=2)
    chosen_I = voted_IK[np.arange(len(asked_ID)), votes_IK.argmax(axis=1)]
    return _right(chosen_I, truth_I, labels_T)


def linear_probe(known_TD: States, labels_T: Labels, asked_ID: States, truth_I: Labels) -> Floats:
    """(I,) 1 where the largest output is right, 0 where not, NaN as in `knn_probe`."""
    known_TD, asked_ID = _standardised(known_TD, asked_ID)
    names_C, place_T = np.unique(labels_T, return_inverse=True)
    wanted_TC = np.eye(len(names_C))[place_T]
    mean_C = wanted_TC.mean(axis=0)
    gram_TT = known_TD @ known_TD.T
    penalty = max(PENALTY * np.trace(gram_TT) / len(gram_TT), np.finfo(float).tiny)
    dual_TC = np.linalg.solve(gram_TT + penalty * np.eye(len(gram_TT)), wanted_TC - mean_C)
    output_IC = asked_ID @ known_TD.T @ dual_TC + mean_C
    return _right(names_C[output_IC.argmax(axis=1)], truth_I, labels_T)


def _standardised(known: States, asked: States) -> tuple[Floats, Floats]:
    """Both in float64, shifted and scaled so that each dimension of `known` has variance 1."""
    wide = known.astype(np.float64)
    mean, deviation = wide.mean(axis=0), wide.std(axis=0)
    # A dimension that is constant up to rounding would be blown up; it is left out instead.
    varies = deviation > 1e-9 * (np.abs(mean) + np.finfo(float).tiny)
    scale = np.where(varies, 1 / np.where(varies, deviation, 1.0), 0.0)
    return (wide - mean) * scale, (asked - mean) * scale


def _unit(states: Floats) -> Floats:
    length = np.linalg.norm(states, axis=1, keepdims=True)
    return np.asarray(states / np.maximum(length, np.finfo(float).tiny))


def _right(chosen: Labels, truth: Labels, learned: Labels) -> Floats:
    return np.where(np.isin(truth, learned), chosen == truth, np.nan)
