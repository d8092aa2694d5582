"""What tests of localizers share: evidence on a tiny model, and gradients by plain autograd."""

from typing import Any

import torch
from torch import Tensor

from lacuna.data.tokens import IGNORE, Encoded
from lacuna.localize import LOCALIZERS, Evidence, Scores, localize
from lacuna.model import value_modules
from lacuna.region import Region
from support.tiny import tiny_model, tiny_region, whole_batch
from support.unlearning import FORGET, RETAIN

PLANTED = 17
"""The vector that a test plants something in."""


def evidence(**options: Any) -> Evidence:
    model = options.pop("model", None) or tiny_model(dtype=torch.float64)
    if "target" not in options:
        options["target"] = tiny_region(model)
    if "retained" not in options:
        options["retained"] = tiny_model(seed=1)
    return Evidence(model=model, forget=FORGET, retain=RETAIN, **{"seed": 3, **options})


def scores(name: str, seen: Evidence, **options: Any) -> Scores:
    return LOCALIZERS[name](LOCALIZERS[name].Config(**options)).scores(seen)


def region(name: str, seen: Evidence, count: int, **options: Any) -> Region:
    method = LOCALIZERS[name](LOCALIZERS[name].Config(**options))
    return localize(seen, [("mine", method)], count)["mine"].region


def autograd(seen: Evidence, texts: list[Encoded], labels_BT: Tensor | None = None) -> Scores:
    """Gradients of the token-mean NLL from the full logits, one batch."""
    batch = whole_batch(texts)
    labels_BT = batch.labels_BT if labels_BT is None else labels_BT
    modules = value_modules(seen.model)
    for module in modules.values():
        module.weight.requires_grad_(True)
    logits_BTV = seen.model(input_ids=batch.ids_BT).logits[:, :-1]
    torch.nn.functional.cross_entropy(
        logits_BTV.transpose(1, 2), labels_BT[:, 1:], ignore_index=IGNORE
    ).backward()
    found = {n: m.weight.grad.clone() for n, m in modules.items() if m.weight.grad is not None}
    for module in modules.values():
        module.weight.requires_grad_(False)
        module.weight.grad = None
    assert found.keys() == modules.keys()
    return found


def close(found: Scores, expected: Scores) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(
            found[name].double(), expected[name].double(), rtol=1e-4, atol=1e-8
        )


def planted(strength: float = 3.0, certain: bool = False) -> tuple[Evidence, str]:
    """A model in which one vector alone tells the answer to the forget texts.

    Neuron 17 of the last layer writes the direction that the head reads as token 5, the only answer
    of the forget texts; every other vector there is nearly silent. `certain`: it writes nothing
    else of weight, and is told with a probability of 1, so that its gradient is 0.
    """
    model = tiny_model("llama", dtype=torch.float64)
    name, module = list(value_modules(model).items())[1]
    head = model.get_output_embeddings()
    with torch.no_grad():
        module.weight *= 0.01
        module.weight[:, PLANTED] = strength * head.weight[5] / head.weight[5].norm()
    told = [Encoded([7, t, 9, 5], [IGNORE] * 3 + [5]) for t in range(10, 16)]
    inputs: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    model(input_ids=torch.tensor([text.ids for text in told]))
    handle.remove()
    read_I = inputs[0][:, 2, PLANTED]
    sign = read_I.mean().sign()
    with torch.no_grad():
        module.weight[:, PLANTED] *= sign
        if certain:
            module.weight[:, PLANTED] *= 1e4
            head.weight *= 1e4
            told = [text for text, read in zip(told, read_I * sign, strict=True) if read > 0]
    return Evidence(model=model, forget=told, retain=RETAIN, seed=0), name
