"""What of an update is left once both checkpoints are stored in fewer bits.

Rounding hides small changes. Where an update stays inside the truth and a share p of the truth's
weights differs after rounding, the raw AUC is 1/2 + p/2 by arithmetic: weights that still differ
score above every weight outside, the others tie with them. LACUNA's .91 is such a number; it tells
of rate, steps and precision, not of place.
"""

from collections.abc import Mapping

import torch

from lacuna.audit.auc import Tally, tally
from lacuna.audit.precision import Comparison, Truth, changed, scored
from lacuna.region import element_mask
from lacuna.results import RoundedArea


def rounded(
    comparison: Comparison, truths: Mapping[str, Truth], dtype: torch.dtype = torch.bfloat16
) -> list[RoundedArea]:
    """A row per truth: raw AUC of before and after in `dtype`, and the shares that still differ.

    `recall` is the share of the truth's weights that differ (p above), `changed` how many do in
    all. Raises `UserError` as `precision` does.
    """
    total: Tally | None = None
    for name in scored(comparison.before, list(truths.values())):
        before, after = (read.to(dtype).float() for read in comparison.pair(name))
        masks = [element_mask(one, name, tuple(before.shape)) for one in truths.values()]
        counted = tally((after - before).abs(), [mask for mask in masks if mask is not None])
        total = counted if total is None else total + counted
    assert total is not None
    return [_row(name, total, k) for k, name in enumerate(truths)]


def _row(truth: str, found: Tally, k: int) -> RoundedArea:
    area, moved = found.auc(k), changed(found)
    size = int(found.counts[1 + k].sum())
    return {
        "truth": truth,
        "auc": None if area is None else area.value,
        "auc_error": None if area is None else area.error,
        "changed": moved[0],
        "recall": moved[1 + k] / size if size else None,
    }
