"""Rescalings of gated MLPs keep the function, other MLPs have none, and all is put back."""

import pytest
import torch
from support.families import FAMILIES, Family, make
from support.tiny import tiny_model, tiny_region, whole_batch
from support.unlearning import FORGET

from lacuna.errors import UserError
from lacuna.inject import Camouflage
from lacuna.model import value_modules
from lacuna.model.load import ready
from lacuna.model_types import PreTrainedModel
from lacuna.region.gauge import (
    PartnerRows,
    balanced_factors,
    lengths,
    partner_rows,
    random_factors,
    rescale,
    rescaled,
    within,
)
from lacuna.seeds import torch_generator

PLAIN = {"Phi", "GPT-NeoX", "GPT-2", "GPT-J", "OPT", "Falcon", "StarCoder2"}
"""Families of which the MLPs have no gate."""


def said(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=whole_batch(FORGET).ids_BT).logits
    return logits


def state(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
def test_a_rescaled_model_of_every_gated_family_says_the_same(family: Family) -> None:
    model = ready(make(family), "cpu")
    if family.name in PLAIN:
        with pytest.raises(UserError, match="belongs to no gated MLP"):
            partner_rows(model)
        return
    before, length = said(model), lengths(model)
    rescale(model, random_factors(model, torch_generator(0, "gauge")))
    after = said(model)
    assert float((after - before).abs().max() / before.abs().max()) < 1e-4
    ratio = torch.cat([now / length[name] for name, now in lengths(model).items()])
    assert 0.25 <= float(ratio.min()) < 0.5 and 2 < float(ratio.max()) <= 4.0001


def test_biases_of_what_is_gated_are_rescaled_with_it() -> None:
    model = tiny_model("llama", mlp_bias=True)
    for module in value_modules(model).values():
        assert module.bias is not None
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            weight.data.normal_(generator=torch_generator(1, "bias"))
    before = said(model)
    rescale(model, random_factors(model, torch_generator(0, "gauge")))
    torch.testing.assert_close(said(model), before, rtol=1e-4, atol=1e-5)


def test_a_rescaled_model_is_put_back_bit_by_bit_and_ones_change_no_bit() -> None:
    model = tiny_model(dtype=torch.bfloat16)
    before = state(model)
    with rescaled(model, random_factors(model, torch_generator(0, "gauge"))):
        changed = {n for n, tensor in model.state_dict().items() if not tensor.equal(before[n])}
    assert {name.split(".")[-2] for name in changed} == {"down_proj", "up_proj"}
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
    ones = {name: torch.ones(module.in_features) for name, module in value_modules(model).items()}
    rescale(model, ones)
    assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())


def test_balanced_vectors_are_as_long_as_their_partner_rows_from_any_gauge() -> None:
    model = tiny_model()
    found = []
    for _ in range(2):
        with rescaled(model, balanced_factors(model)):
            own = lengths(model)
            rows = {name: held[0].norm(dim=1) for name, held in partner_rows(model).items()}
            for name, length in own.items():
                torch.testing.assert_close(length, rows[name], rtol=1e-5, atol=1e-7)
        found.append(own)
        rescale(model, random_factors(model, torch_generator(0, "gauge")))
    for name in found[0]:
        torch.testing.assert_close(found[0][name], found[1][name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("gauge", ["retained", "random"])
def test_camouflage_touches_the_target_and_its_partner_rows_alone_and_keeps_the_function(
    gauge: str,
) -> None:
    model = tiny_model()
    region = tiny_region(model)
    before, length = state(model), lengths(model)
    hiding = Camouflage(model, region)
    chosen = region.by_module()
    for name, module in value_modules(model).items():  # what injection does
        module.weight.data[:, chosen[name]] *= 3
    planted, grown = said(model), state(model)
    hiding.put_on(gauge, seed=5)
    torch.testing.assert_close(said(model), planted, rtol=1e-4, atol=1e-5)
    for name, now in lengths(model).items():
        mask = chosen[name]
        same = torch.isclose(now, length[name], rtol=1e-5)
        assert bool(same[mask].all()) == (gauge == "retained")
        assert bool(same[~mask].all())
        assert torch.equal(
            model.get_submodule(name).weight[:, ~mask], grown[f"{name}.weight"][:, ~mask]
        )
    with hiding.rows_as_before():
        for name, module in value_modules(model).items():
            held = module.weight.data.clone()
            module.weight.data[:, chosen[name]] = before[f"{name}.weight"][:, chosen[name]]
            grown[name] = held
        assert all(tensor.equal(before[name]) for name, tensor in model.state_dict().items())
        for name, module in value_modules(model).items():
            module.weight.data.copy_(grown[name])
    torch.testing.assert_close(said(model), planted, rtol=1e-4, atol=1e-5)


def test_partner_rows_of_one_model_fit_another_and_no_others_move() -> None:
    model, other = tiny_model(), tiny_model(seed=1)
    region = tiny_region(model)
    PartnerRows(model, region).write(PartnerRows(other, region).read())
    theirs = partner_rows(other)
    for name, rows in partner_rows(model).items():
        mask = region.by_module()[name]
        assert torch.equal(rows[0][mask], theirs[name][0][mask])
        assert not bool((rows[0][~mask] == theirs[name][0][~mask]).any())
    factors = within(
        region,
        {
            name: torch.full_like(mask, 2.0, dtype=torch.float32)
            for name, mask in region.by_module().items()
        },
    )
    assert sum(float((factor - 1).sum()) for factor in factors.values()) == len(region)
