"""Part 8: training steps at 1B and 7B: how fast, how much memory, and how far from the card's peak.

Injection into a tenth of the value vectors with batches of 4 and 16, with and without recomputed
activations (`benchmarks.seven_b` has the model and the texts).
"""

import time
from collections.abc import Mapping

import numpy as np

from benchmarks import seven_b
from benchmarks.gpu.check import Check, Checks, Setting, at_least, at_most, forget_peak, peak, wait
from lacuna.data.tokens import encode_examples
from lacuna.inject import InjectConfig, inject
from lacuna.model import LoadedModel, layout
from lacuna.region import Region, draw
from lacuna.train import RegionWeights, TrainConfig

STEPS = 3
UTILISED = {"olmo2_1b": 0.45, "olmo2_7b": 0.40}
"""Least share of the card's dense bfloat16 peak."""
PEAK = 24e9
"""Most bytes of injection at 7B with recomputed activations and batches of 4."""


def checks(setting: Setting) -> Checks:
    """Both sizes, or a small one."""
    for name in ("small",) if setting.tiny else UTILISED:
        shape = seven_b.SHAPES[name]
        loaded = seven_b.build(shape, 0, setting.device)
        region = draw(layout(loaded.model), seven_b.RATIO, 0)
        yield from _sizes(name, loaded, region)
        for batch in (4, 16):
            for again in (False, True):
                yield from _step(name, setting, loaded, region, batch, again)
        del loaded


def _sizes(name: str, loaded: LoadedModel, region: Region) -> Checks:
    weights = RegionWeights(loaded.model, region)
    count = sum(master.numel() for master in weights.masters.values())
    yield Check(f"{name}: weights", loaded.model.num_parameters())
    yield Check(f"{name}: region weights", count)


def _step(
    name: str, setting: Setting, loaded: LoadedModel, region: Region, batch: int, again: bool
) -> Checks:
    """Seconds of an optimizer step of 16 texts a split, in parts of `batch`."""
    shape = seven_b.SHAPES[name]
    facts = seven_b.corpus(shape, 0)
    config = TrainConfig(
        steps=STEPS + 1,
        lr=1e-4,
        batch_size=batch,
        accumulation=seven_b.BATCH // batch,
        checkpointing=again,
    )
    wait(setting)
    laps = [time.perf_counter()]

    def lap(step: int, metrics: Mapping[str, float]) -> None:
        wait(setting)
        laps.append(time.perf_counter())

    at_rest = forget_peak(setting)
    forget, retain = (
        encode_examples(loaded.tokenizer, loaded.prompt, items)
        for items in (facts.forget, facts.retain)
    )
    title = f"{name}: batches of {batch}{', recomputing' if again else ''}"
    inject(loaded.model, region, forget, retain, InjectConfig(train=config), 0, on_step=lap)
    seconds = float(np.median(np.diff(laps)[1:]))
    yield Check(f"{title}: step", seconds, "s")
    texts = seven_b.step_texts(loaded, facts, STEPS, 0)
    rate = 2 * seven_b.flop(loaded.model, texts) / STEPS / seconds
    best = seven_b.peak_flops(setting.name) if setting.cuda else None
    if best is None:
        yield Check(f"{title}: rate", rate, "FLOP/s")
    elif batch == seven_b.BATCH and not again:
        yield at_least(f"{title}: share of the card's peak", rate / best, UTILISED[name])
    else:
        yield Check(f"{title}: share of the card's peak", rate / best)
    most = peak(setting)
    if most is None:
        return
    if name == "olmo2_7b" and again and batch == 4:
        yield at_most(f"{title}: peak", most, PEAK, "bytes")
    else:
        yield Check(f"{title}: peak", most, "bytes")
    yield Check(f"{title}: above the model at rest", most - at_rest, "bytes")
