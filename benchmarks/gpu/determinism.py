"""Part 4: the same twenty steps of NPO twice, with torch's deterministic algorithms and without."""

import torch
from torch import Tensor

from benchmarks.gpu.check import Check, Checks, Setting, deterministic, holds
from benchmarks.gpu.facts import SEED, TINY, data, model, places
from lacuna.train import TrainConfig, editable
from lacuna.unlearn import OBJECTIVES, unlearn
from lacuna.unlearn.objectives.npo import NPO

STEPS = 20


def checks(setting: Setting) -> Checks:
    """With the switch the bits must be equal; without, it is reported whether they are."""
    for place in ("region", "single weights", "all weights"):
        for on in (True, False):
            first, second = (_trained(setting, place, on) for _ in range(2))
            same = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
            name = f"{place}, {'deterministic' if on else 'as usual'}: twice the same bits"
            yield holds(name, same, "equal") if on else Check(name, same)


def _trained(setting: Setting, place: str, on: bool) -> list[Tensor]:
    """All weights after the steps."""
    changing = model(TINY, setting.device, torch.float32)
    config = TrainConfig(steps=STEPS, lr=1e-3, batch_size=TINY.batch)
    weights = editable(changing, places(changing)[place])
    with deterministic(on):
        unlearn(changing, weights, OBJECTIVES["npo"](NPO.Config()), data(TINY), config, SEED)
    return [weight.detach().cpu() for weight in changing.parameters()]
