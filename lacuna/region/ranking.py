"""How well scores rank the true region first, whatever the budget."""

from collections.abc import Mapping

import numpy as np
import scipy
import torch
from torch import Tensor

from lacuna.region.base import Region
from lacuna.results import Ranking


def ranking(scores: Mapping[str, Tensor], truth: Region) -> Ranking:
    """ROC-AUC (Mann-Whitney) and average precision over all value vectors of the model.

    scores: module name -> (d_ff,), higher first. Equal scores are one threshold.
    """
    score = torch.cat([scores[name] for name in truth.layout.shapes]).double().cpu().numpy()
    true = truth.flat().numpy()
    positives, negatives = int(true.sum()), int((~true).sum())
    if not positives or not negatives:
        return Ranking(auc=None, average_precision=None)
    above = scipy.stats.rankdata(score)[true].sum() - positives * (positives + 1) / 2
    _, level = np.unique(-score, return_inverse=True)
    hits = np.cumsum(np.bincount(level, weights=true))
    precision = hits / np.cumsum(np.bincount(level))
    return Ranking(
        auc=float(above / (positives * negatives)),
        average_precision=float((np.diff(hits, prepend=0) * precision).sum() / positives),
    )
