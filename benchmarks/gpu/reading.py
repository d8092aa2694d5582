"""Part 9: evaluation at 7B: the walk along 21 mixtures, generation in batches of several sizes."""

from benchmarks import seven_b
from benchmarks.gpu.check import Check, Checks, Setting, at_most, clock
from lacuna.evaluate import EvaluateConfig, Evaluator, strength_curve
from lacuna.evaluate.generate import complete, prompts
from lacuna.evaluate.mixing_curve import mixing_weights
from lacuna.model import layout
from lacuna.region import draw
from lacuna.train import RegionWeights, mix

ITEMS, ALPHAS, NEW = 60, 21, 100
TOKENS = (8192, 32768, 65536)
"""Most tokens of a batch in generation."""
SWITCH = 0.03
"""Largest share of the walk that changing the mixture takes."""


def checks(setting: Setting) -> Checks:
    """Seconds of each, on the largest shape that the size allows."""
    name = "small" if setting.tiny else "olmo2_7b"
    shape = seven_b.Shape(**{**vars(seven_b.SHAPES[name]), "items": 8 if setting.tiny else ITEMS})
    loaded, facts = seven_b.build(shape, 0, setting.device), seven_b.corpus(shape, 0)
    new = 8 if setting.tiny else NEW
    weights = RegionWeights(loaded.model, draw(layout(loaded.model), seven_b.RATIO, 0))
    start, end = weights.read(), {n: v * 1.01 for n, v in weights.read().items()}
    evaluator = Evaluator(loaded, facts, EvaluateConfig(alphas=ALPHAS, new_tokens=new))
    with clock(setting) as walk:
        strength_curve(evaluator, loaded.model, weights, start, end)
    yield Check(f"{name}: {ALPHAS} mixtures read", walk[0], "s")
    with clock(setting) as switch:
        for alpha in mixing_weights(ALPHAS):
            mix(weights, start, end, alpha)
    share = switch[0] / walk[0]
    yield (
        Check("share of the walk that switches", share)
        if setting.tiny
        else at_most("share of the walk that switches", share, SWITCH)
    )
    heads = prompts(loaded, facts.forget)
    for tokens in TOKENS:
        with clock(setting) as seconds:
            complete(loaded, heads, new_tokens=new, max_tokens=tokens)
        yield Check(
            f"generation, {tokens} tokens a batch", len(heads) * new / seconds[0], "tokens/s"
        )
    with clock(setting) as seconds:
        evaluator.measure(loaded.model)
    yield Check("one full measurement", seconds[0], "s")
