"""Part 3: bfloat16 against float32: losses, gradients, and the autocast of a masked step."""

import torch
from torch import Tensor

from benchmarks.gpu.check import Checks, Setting, at_most
from benchmarks.gpu.facts import TINY, data, model, places, relative, tight
from lacuna.data.tokens import collate
from lacuna.model import answers
from lacuna.region import WeightRegion
from lacuna.train import IndexedWeights, editable, mean_nll

LOSS, GRADIENT = 1e-2, 2e-2


def checks(setting: Setting) -> Checks:
    """Both precisions at the same weights."""
    tight(setting)
    exact_loss, exact = _gradient(setting, torch.float32, "region")
    loss, half = _gradient(setting, torch.bfloat16, "region")
    yield at_most("bfloat16: loss", abs(loss - exact_loss) / exact_loss, LOSS)
    yield at_most("bfloat16: gradient of a region", relative(half, exact), GRADIENT)
    exact_loss, exact = _gradient(setting, torch.float32, "single weights")
    loss, mixed = _gradient(setting, torch.float32, "single weights", autocast=True)
    yield at_most("autocast: loss", abs(loss - exact_loss) / exact_loss, LOSS)
    yield at_most("autocast: gradient of single weights", relative(mixed, exact), GRADIENT)


def _gradient(
    setting: Setting, dtype: torch.dtype, place: str, autocast: bool = False
) -> tuple[float, list[Tensor]]:
    """Loss and gradient of the masters, of one batch."""
    asked = model(TINY, setting.device, torch.float32)
    where = places(asked)[place]
    asked.to(dtype)  # type: ignore[arg-type]
    weights = (
        IndexedWeights(asked, where) if isinstance(where, WeightRegion) else editable(asked, where)
    )
    batch = collate(data(TINY).forget, range(TINY.batch)).to(setting.device)
    with weights.training():
        with torch.autocast(setting.device.type, torch.bfloat16, enabled=autocast):
            loss = mean_nll(answers(asked, batch))
        loss.backward()
        weights.gather_gradients()
        found = [
            master.grad.clone() for master in weights.masters.values() if master.grad is not None
        ]
    return float(loss.detach()), found
