"""What a score says of updates that know nothing: every localization score is read beside these.

    noise    before + N(0, s), s the root mean square of the real update in that tensor
    random   before + the real update's own values in random order within the tensor: the same
             budget, number of changed weights included, anywhere

Both are rounded to the type that the audited checkpoint is stored in, since rounding alone makes
large weights move more (and masks are where weights are large). A third null needs no update: the
magnitude of the weights before, |w|, which finds masks because injection lengthens what it writes.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from lacuna.seeds import torch_generator

OBSERVED, NOISE, RANDOM = "observed", "noise", "random"
UPDATES = (OBSERVED, NOISE, RANDOM)
MAGNITUDE = "magnitude"


def updates(
    before: Tensor, after: Tensor, stored: torch.dtype, seed: int, name: str
) -> Iterator[tuple[str, Tensor]]:
    """(kind, after) of the real update and its nulls, one at a time; the same seed, the same bytes.

    `before` and `after` are one tensor (float32), `stored` the type `after` was rounded to.
    """
    yield OBSERVED, after
    change = after - before
    noise = torch.randn(before.shape, generator=torch_generator(seed, "audit", NOISE, name))
    size = change.double().square().mean().sqrt().float()
    yield NOISE, noise.mul_(size).add_(before).to(stored).float()
    del noise
    order = torch.randperm(change.numel(), generator=torch_generator(seed, "audit", RANDOM, name))
    yield RANDOM, change.reshape(-1)[order].reshape(before.shape).add_(before).to(stored).float()
