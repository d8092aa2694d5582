"""SGTM's promise: facts stay in their group's neurons and heads, neutral text out of them."""

import pytest
import torch
from support.tiny import same_bits, state, tiny_model
from test_masked import GROUPS, NEUTRAL, OFF, config, masks
from transformers import PreTrainedModel

from lacuna.inject import SgtmConfig, inject_sgtm
from lacuna.region import GroupMasks


def planted(method: str, groups: list[int], **options: object) -> PreTrainedModel:
    model = tiny_model()
    told = {group: GROUPS[group] for group in groups}
    routing = SgtmConfig(method=method, retain_share=1.0)
    inject_sgtm(model, drawn(), told, NEUTRAL, routing, config(dropout=OFF, **options), seed=0)
    return model


def drawn() -> GroupMasks:
    return masks(tiny_model(), unit="vector", share=0.15)


def moved(model: PreTrainedModel, groups: list[int]) -> dict[str, tuple[bool, bool]]:
    """Tensor -> whether any weight moved inside these groups' masks, and any outside."""
    region, before = drawn().union(groups), state(tiny_model())
    found = {}
    for name, now in model.state_dict().items():
        held = torch.zeros_like(now).bool()
        if name in region.shapes:
            held = region.mask(name)
        sides = [(now[side], before[name][side]) for side in (held, ~held)]
        found[name] = not same_bits(*sides[0]), not same_bits(*sides[1])
    return found


@pytest.mark.parametrize("method", ["sgtm", "routing"])
def test_facts_to_forget_leave_the_masks_of_retained_groups_and_all_else_alone(
    method: str,
) -> None:
    """Weight decay included, which the public code lets through."""
    model = planted(method, [0, 2], neutral="none", weight_decay=0.3)
    assert not any(outside for _, outside in moved(model, [0, 2]).values())
    assert not any(inside for inside, _ in moved(model, [1]).values())
    for group in (0, 2):
        assert any(inside for inside, _ in moved(model, [group]).values())


def test_neutral_text_read_without_the_masks_neurons_does_not_move_them() -> None:
    """But for queries and keys, which OLMo-2 normalises over all heads together."""
    model = planted("sgtm", [0, 1, 2], lr=0.0)
    found = moved(model, [0, 1, 2])
    held = {name for name, (inside, _) in found.items() if inside}
    assert all(name.endswith(("q_proj.weight", "k_proj.weight")) for name in held)
    for kind in ("up_proj", "down_proj", "v_proj", "o_proj"):
        assert all(outside for name, (_, outside) in found.items() if kind in name)
    plain = moved(planted("routing", [0, 1, 2], lr=0.0), [0, 1, 2])
    assert plain["model.layers.0.mlp.down_proj.weight"] == (True, True), "routing reads with them"
