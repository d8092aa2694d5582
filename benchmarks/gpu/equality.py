"""Part 2: every method gives on the device what it gives on the processor, in float32.

Five steps of every objective in a region, in single weights and in all weights; every edit, wrapper
and localizer; rounding to 8 and 4 bits. A method's failure is a broken promise of its own, and the
others go on.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.gpu.check import Check, Checks, Setting, at_most, holds
from benchmarks.gpu.facts import SEED, TINY, Where, changes, data, model, places, relative, tight
from lacuna.attack.attacks.integers import rounded
from lacuna.attack.attacks.nf4 import nf4_rounded
from lacuna.inject import equal_outside
from lacuna.localize import LOCALIZERS, Evidence
from lacuna.region import Region
from lacuna.train import Diverged, TrainConfig, editable
from lacuna.unlearn import OBJECTIVES, WRAPPERS, Edit, Method, unlearn

STEPS = 5
LOSS, WEIGHT, SCORE = 1e-5, 1e-4, 1e-3
"""Largest relative differences: of losses, of what training added, of a localizer's scores."""
REFUSED = (RuntimeError, ValueError, TypeError, NotImplementedError, Diverged)
"""What a kernel or a method raises where it cannot run."""
CPU = torch.device("cpu")
Result = tuple[list[float], list[Tensor]]


def checks(setting: Setting) -> Checks:
    """Every method, on both."""
    tight(setting)
    for name, method in OBJECTIVES.items():
        wanted = places(model(TINY, CPU, torch.float32))
        for place, where in wanted.items():
            if where is None or method.confined:
                yield from _both(f"{name}, {place}", setting, _method(name, where, ()), where)
    for name in WRAPPERS:
        where = places(model(TINY, CPU, torch.float32))["region"]
        yield from _both(f"npo in {name}, region", setting, _method("npo", where, [name]), where)
    for name in LOCALIZERS:
        yield from _scores(name, setting)
    weight = torch.randn(64, 128, generator=torch.Generator().manual_seed(SEED))
    for bits in (8, 4):
        gap = relative([rounded(weight.to(setting.device), bits)], [rounded(weight, bits)])
        yield at_most(f"int{bits}, weights", gap, WEIGHT)
    gap = relative([nf4_rounded(weight.to(setting.device))], [nf4_rounded(weight)])
    yield at_most("nf4, weights", gap, WEIGHT)


def _method(
    name: str, where: Where, wrappers: Sequence[str]
) -> Callable[[PreTrainedModel, PreTrainedModel], list[float]]:
    """Runs a method on a model, with a retained one; returns its losses."""
    kind: type[Method] = OBJECTIVES[name]
    lr = 1.0 if issubclass(kind, Edit) else 1e-3

    def run(changing: PreTrainedModel, retained: PreTrainedModel) -> list[float]:
        history = unlearn(
            changing,
            editable(changing, where),
            kind(kind.Config()),
            data(TINY),
            TrainConfig(steps=STEPS, lr=lr, batch_size=TINY.batch),
            SEED,
            wrappers=[WRAPPERS[w](WRAPPERS[w].Config()) for w in wrappers],
            retained=retained,
        )
        return history.losses

    return run


def _both(
    name: str,
    setting: Setting,
    run: Callable[[PreTrainedModel, PreTrainedModel], list[float]],
    where: Where,
) -> Checks:
    """The method on the processor and on the device: losses, weights, what lies outside."""
    try:
        expected, _ = _on(CPU, run, where)
        (losses, moved), outside = _on(setting.device, run, where)
    except REFUSED as error:
        yield holds(name, False, f"runs: {type(error).__name__}: {str(error).splitlines()[0]}")
        return
    if losses:
        gap = max(abs(a - b) / max(1.0, abs(b)) for a, b in zip(losses, expected[0], strict=True))
        yield at_most(f"{name}: losses", gap, LOSS)
    yield at_most(f"{name}: change", relative(moved, expected[1]), WEIGHT)
    if outside is not None:
        yield holds(f"{name}: outside", outside, "bit-equal")


def _on(
    device: torch.device,
    run: Callable[[PreTrainedModel, PreTrainedModel], list[float]],
    where: Where,
) -> tuple[Result, bool | None]:
    """Losses and changes on one device; whether all outside a region kept its bits."""
    changing = model(TINY, device, torch.float32)
    before = copy.deepcopy(changing)
    losses = run(changing, model(TINY, device, torch.float32, seed=SEED + 1))
    same = equal_outside(before, changing, where) if where is not None else None
    return (losses, changes(before, changing)), same


def _scores(name: str, setting: Setting) -> Checks:
    """A localizer's scores on both."""

    def on(device: torch.device) -> list[Tensor]:
        asked, texts = model(TINY, device, torch.float32), data(TINY)
        target = places(asked)["region"]
        assert isinstance(target, Region)
        seen = Evidence(
            model=asked,
            forget=texts.forget,
            retain=texts.retain,
            seed=SEED,
            target=target,
            retained=model(TINY, device, torch.float32, seed=SEED + 1),
        )
        return [s.double() for s in kind(kind.Config()).scores(seen).values()]

    kind = LOCALIZERS[name]
    try:
        expected, found = on(CPU), on(setting.device)
    except REFUSED as error:
        yield Check(
            f"localizer {name}", f"{type(error).__name__}: {error}", bound="runs", kept=False
        )
        return
    yield at_most(f"localizer {name}: scores", relative(found, expected), SCORE)
