"""The gauge test: does a localizer read the model's function, or the lengths of its vectors?

The injected model is rescaled so that it computes the same (`lacuna.region.gauge`), and every
localizer is asked again. One that reads the function ranks as before; of one that does not, the
published number says how this model happens to be written down. Balanced, where each vector is as
long as its partner row, is a gauge that all models of one function share: a gauge-fixed form of
every localizer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import scipy
import torch

from lacuna.localize.base import Found, Localizer, Scores, localize
from lacuna.localize.evidence import Evidence
from lacuna.region import Region, overlap, ranking
from lacuna.region.gauge import PerVector, balanced_factors, random_factors, rescaled
from lacuna.results import Gauged, GaugeRecord
from lacuna.seeds import torch_generator


def gauge_test(
    evidence: Evidence,
    localizers: Sequence[tuple[str, Localizer]],
    found: Mapping[str, Found],
    target: Region,
    rescalings: int,
) -> dict[str, GaugeRecord]:
    """What becomes of each localizer's region and scores, `found` in the model as it is.

    `rescalings` are drawn by the evidence's seed; the model is as before afterwards. Raises
    `UserError` where its MLPs have no gate.
    """

    def asked(factors: PerVector) -> dict[str, Gauged]:
        seen = replace(evidence, _gradients={}, _fisher={})  # none of what it has computed
        with rescaled(evidence.model, factors):
            again = localize(seen, localizers, len(target))
        return {name: _gauged(found[name], again[name], target) for name in again}

    drawn = [
        asked(random_factors(evidence.model, torch_generator(evidence.seed, "gauge", str(number))))
        for number in range(rescalings)
    ]
    balanced = asked(balanced_factors(evidence.model))
    return {
        name: {"balanced": balanced[name], "random": [one[name] for one in drawn]} for name in found
    }


def _gauged(before: Found, after: Found, target: Region) -> Gauged:
    return {
        "rank_correlation": _rank_correlation(before.scores, after.scores),
        "kept": overlap(after.region, before.region)["recall"],
        "precision": overlap(after.region, target)["precision"],
        "auc": ranking(after.scores, target)["auc"],
    }


def _rank_correlation(before: Scores, after: Scores) -> float | None:
    """Spearman's, over all vectors of the model; None where either ranks all alike."""
    a, b = (torch.cat([one[name].double().flatten() for name in before]) for one in (before, after))
    if bool((a == a[0]).all()) or bool((b == b[0]).all()):
        return None
    return float(scipy.stats.spearmanr(a.numpy(), b.numpy()).statistic)
