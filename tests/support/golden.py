"""Golden numbers: what every method of the library does to a tiny model, exactly.

A refactoring must not change them. Whoever adds a method, or means to change one, records it and
says why in the commit:

    PYTHONPATH=.:tests python -m support.golden [CASE ...]

The named cases are recorded anew (`"wrapper npo+sam"`); without names, those that are missing are
added and those that no longer exist dropped. Recorded are, for

    objective   the losses of 20 steps, and of every matrix that moved four statistics
    wrapper     the same of NPO within it
    edit        the statistics
    localizer   20 scores spread evenly over the model, their mean and norm; of `weights` too, where
                the method scores single weights

All is float64 where the library permits, so that the numbers hold on any processor. Methods of
other packages are no cases.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.models.olmo2.modeling_olmo2 import Olmo2RMSNorm

from lacuna.artifacts import read_json, write_text
from lacuna.localize import LOCALIZERS, Evidence
from lacuna.region import Region, WeightRegion
from lacuna.region.bits import pack
from lacuna.registry import Registry
from lacuna.seeds import torch_generator
from lacuna.train import TrainConfig, editable
from lacuna.unlearn import OBJECTIVES, WRAPPERS, Edit, UnlearnData, unlearn
from support import ROOT
from support.tiny import state, tiny_model, tiny_region, tiny_texts

RECORD = ROOT / "tests" / "data" / "golden.json"
SEED = 3
STEPS = 20
HEAD = 8
"""Width of an attention head of the tiny model."""
Numbers = dict[str, list[float]]
"""What is recorded of a case: name -> numbers."""
Options = Mapping[str, Any]

EDITS: dict[str, Options] = {
    "alphaedit": {"first": 0.0, "threshold": 0.9, "steps": 5},
    "ssd": {"alpha": 1.0},
    "task_vector": {"reinforce_lr": 0.01},
}
"""Options under which an edit does something to so small a model."""
FORMS: list[tuple[str, Options]] = [
    *(("npo", {"retain": kind}) for kind in ("kl", "kl_peer", "hidden")),
    ("pdu", {"masking": "peer"}),
    ("undial", {"masking": "peer"}),
    ("alphaedit", {"towards": "away"}),
]
"""Forms of objectives and edits beyond their defaults."""
WRAPPED: list[tuple[str, Options]] = [
    *((name, {"reach": "all"}) for name in ("sam", "smoothing")),
    *(("coreset", {"ratio": 0.5, "select": by}) for by in ("random", "grand", "moderate", "min_k")),
]
"""Forms of wrappers beyond their defaults."""
LOCALIZED: list[tuple[str, Options]] = [("fisher_ratio", {"granularity": "weight"})]
"""Forms of localizers beyond their defaults."""


class Rotary(nn.Module):
    """The usual rotary embedding; transformers computes its angles in float32."""

    def forward(self, hidden_BTD: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        pairs = torch.arange(0, HEAD, 2, dtype=torch.float64) / HEAD
        angles_BTH = position_ids[:, :, None] * (10000.0**-pairs).repeat(2)
        return angles_BTH.cos(), angles_BTH.sin()


def model(seed: int = 0) -> PreTrainedModel:
    """OLMo-2, two layers of width 16, whose matrices are uniform within 0.5 of zero.

    Norms, angles and attention, which transformers computes in float32, are of float64 here.
    Normal numbers as weights would differ in their last bits from processor to processor.
    """
    made = tiny_model(seed=seed, dtype=torch.float64)
    made.set_attn_implementation("sdpa")
    made.model.rotary_emb = Rotary()
    for module in list(made.modules()):
        for name, norm in module.named_children():
            if isinstance(norm, Olmo2RMSNorm):
                exact = nn.RMSNorm(norm.weight.shape, norm.variance_epsilon, dtype=torch.float64)
                setattr(module, name, exact.requires_grad_(False))
    generator = torch_generator(seed, "golden")
    with torch.no_grad():
        for weight in made.parameters():
            if weight.dim() > 1:
                drawn = torch.rand(weight.shape, generator=generator, dtype=torch.float64)
                weight.copy_(drawn - 0.5)
    return made


def data() -> UnlearnData:
    """Eight texts to forget with their refusals, ten to retain, three neutral ones."""
    return UnlearnData(
        forget=tiny_texts(8, seed=1),
        retain=tiny_texts(10, seed=2),
        refusals=tiny_texts(8, seed=4, answer=(3,)),
        neutral=tiny_texts(3, seed=5, prompt=0),
    )


def single_weights(asked: PreTrainedModel) -> WeightRegion:
    """A third of the single weights of every output matrix."""
    names = [f"{name}.weight" for name in tiny_region(asked).layout.shapes]
    shapes = {name: tuple(state(asked)[name].shape) for name in names}
    generator = torch_generator(SEED, "golden weights")
    bits = {n: pack(torch.rand(a * b, generator=generator) < 1 / 3) for n, (a, b) in shapes.items()}
    return WeightRegion(type(asked).__name__, shapes, bits)


def unlearned(name: str, options: Options, kind: str, wrapped: Mapping[str, Options]) -> Numbers:
    """Losses of 20 steps by one method in one kind of weights, and what became of the weights."""
    changing = model()
    regions: dict[str, Callable[[], Region | WeightRegion | None]] = {
        "region": lambda: tiny_region(changing),
        "single weights": lambda: single_weights(changing),
        "all weights": lambda: None,
    }
    before, method = state(changing), OBJECTIVES[name]
    is_edit = issubclass(method, Edit)
    history = unlearn(
        changing,
        editable(changing, regions[kind]()),
        method(method.Config(**options)),
        data(),
        TrainConfig(steps=STEPS, lr=1.0 if is_edit else 0.01, batch_size=2),
        SEED,
        wrappers=[WRAPPERS[w](WRAPPERS[w].Config(**given)) for w, given in wrapped.items()],
        retained=model(seed=9),
    )
    losses = {} if is_edit else {"losses": history.losses}
    return losses | moved(before, changing)


def moved(before: Mapping[str, Tensor], after: PreTrainedModel) -> Numbers:
    """Of every weight that moved: sum, norm, a sum that knows the places, norm of the change."""
    found = {}
    for name, value in after.state_dict().items():
        change = (value - before[name]).norm()
        if change > 0:
            places = torch.linspace(-1, 1, value.numel(), dtype=value.dtype)
            by_place = value.flatten() @ places
            found[name] = [float(x) for x in (value.sum(), value.norm(), by_place, change)]
    return found


def localized(name: str, options: Options) -> Numbers:
    """A summary of one localizer's scores, in the model's order of vectors."""
    asked, texts = model(), data()
    seen = Evidence(
        model=asked,
        forget=texts.forget,
        retain=texts.retain,
        seed=SEED,
        target=tiny_region(asked),
        retained=model(seed=9),
    )
    method = LOCALIZERS[name](LOCALIZERS[name].Config(**options))
    found = {"vectors": summary(method.scores(seen))}
    if method.scores_weights():
        found["weights"] = summary(method.weight_scores(seen))
    return found


def summary(scores: Mapping[str, Tensor]) -> list[float]:
    """20 scores spread evenly, the mean of all, and their norm."""
    flat = torch.cat([score.flatten().double() for score in scores.values()])
    entries = flat[torch.linspace(0, len(flat) - 1, 20).long()]
    return [*entries.tolist(), float(flat.mean()), float(flat.norm())]


def own(registry: Registry[Any]) -> list[str]:
    """The methods that the library itself brings."""
    return [name for name, method in registry.items() if method.__module__.startswith("lacuna.")]


def titled(kind: str, name: str, options: Options) -> str:
    """The name of a case: `objective npo retain=kl`."""
    return " ".join([kind, name, *(f"{key}={value}" for key, value in options.items())])


def cases() -> dict[str, Callable[[], Numbers]]:
    """Name -> computes its numbers."""
    found: dict[str, Callable[[], Numbers]] = {}
    for name, options in [*((name, {}) for name in own(OBJECTIVES)), *FORMS]:
        role = "edit" if issubclass(OBJECTIVES[name], Edit) else "objective"
        kind = "region" if OBJECTIVES[name].confined else "all weights"
        given = {**EDITS.get(name, {}), **options}
        found[titled(role, name, options)] = partial(unlearned, name, given, kind, {})
    for kind in ("all weights", "single weights"):
        found[f"objective npo in {kind}"] = partial(unlearned, "npo", {}, kind, {})
    for name, options in [*((name, {}) for name in own(WRAPPERS)), *WRAPPED]:
        title = titled("wrapper", f"npo+{name}", options)
        found[title] = partial(unlearned, "npo", {}, "region", {name: options})
    for name, options in [*((name, {}) for name in own(LOCALIZERS)), *LOCALIZED]:
        found[titled("localizer", name, options)] = partial(localized, name, options)
    return found


def record(names: Sequence[str]) -> None:
    """Write the record: named cases anew, else those that are missing; a line for each."""
    known = cases()
    kept = {n: v for n, v in (read_json(RECORD) if RECORD.exists() else {}).items() if n in known}
    kept |= {name: known[name]() for name in names or known.keys() - kept.keys()}
    rows = [f"{json.dumps(name)}: {json.dumps(kept[name])}" for name in known]
    write_text(RECORD, "{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    record(sys.argv[1:])
