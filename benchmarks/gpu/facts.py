"""Small models and texts that several parts share."""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from benchmarks._measure import Shape, build
from benchmarks.gpu.check import Setting
from lacuna.data.tokens import IGNORE, Encoded
from lacuna.model import layout
from lacuna.region import Region, WeightRegion, draw
from lacuna.region.bits import pack
from lacuna.seeds import torch_generator
from lacuna.unlearn import UnlearnData

TINY = Shape(hidden=64, layers=2, intermediate=160, heads=4, vocabulary=211, length=24, batch=8)
SEED = 3
RATIO = 0.2
Where = Region | WeightRegion | None


def model(
    shape: Shape, device: torch.device, dtype: torch.dtype, seed: int = SEED
) -> PreTrainedModel:
    """Random weights, drawn on the processor, so that every device has the same."""
    return build(shape, seed).to(device=device, dtype=dtype)  # type: ignore[arg-type]


def texts(shape: Shape, count: int, purpose: str, answer: int | None = None) -> list[Encoded]:
    """Random tokens; the last `answer` of them, or half, are labelled."""
    generator = torch_generator(SEED, "acceptance", purpose)
    ids = torch.randint(1, shape.vocabulary, (count, shape.length), generator=generator)
    head = shape.length - (answer or shape.length // 2)
    return [Encoded(row, [IGNORE] * head + row[head:]) for row in ids.tolist()]


def data(shape: Shape) -> UnlearnData:
    """Texts to forget, their refusals, texts to retain and neutral ones."""
    forget, refusals = (texts(shape, 2 * shape.batch, name) for name in ("forget", "refusals"))
    retain, neutral = (texts(shape, 2 * shape.batch, name) for name in ("retain", "neutral"))
    return UnlearnData(forget=forget, retain=retain, refusals=refusals, neutral=neutral)


def places(model: PreTrainedModel) -> dict[str, Where]:
    """Where may be trained: value vectors, single weights, everything."""
    region = draw(layout(model), RATIO, SEED)
    names = [f"{name}.weight" for name in region.layout.shapes]
    shapes: dict[str, tuple[int, ...]] = {n: tuple(model.get_parameter(n).shape) for n in names}
    generator = torch_generator(SEED, "acceptance", "weights")
    bits = {n: pack(torch.rand(a * b, generator=generator) < RATIO) for n, (a, b) in shapes.items()}
    single = WeightRegion(type(model).__name__, shapes, bits)
    return {"region": region, "single weights": single, "all weights": None}


def relative(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """|one - other| over |other|, of all tensors together."""
    gap = sum(
        float((a.double().cpu() - b.double().cpu()).square().sum())
        for a, b in zip(one, other, strict=True)
    )
    size = sum(float(b.double().square().sum()) for b in other)
    return (gap / size) ** 0.5 if size else gap**0.5


def changes(before: PreTrainedModel, after: PreTrainedModel) -> list[Tensor]:
    """What training added to each weight, on the processor."""
    pairs = zip(after.parameters(), before.parameters(), strict=True)
    return [a.detach().float().cpu() - b.detach().float().cpu() for a, b in pairs]


def tight(setting: Setting) -> None:
    """float32 products are computed in float32."""
    if setting.cuda:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
