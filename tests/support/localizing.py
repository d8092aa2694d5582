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
