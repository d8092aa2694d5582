"""Which localizers read the function, and which the lengths of vectors, as algebra says."""

import pytest
from support.localizing import evidence, scores
from support.tiny import tiny_region

from lacuna.localize import LOCALIZERS, localize
from lacuna.localize.gauge import gauge_test
from lacuna.region.gauge import random_factors, rescale
from lacuna.results import GaugeRecord
from lacuna.seeds import torch_generator

INVARIANT = {
    "activations",
    "balanced_norm",
    "fisher_ratio",
    "integrated_gradients",
    "snip",
    "zero_out",
}
DEPENDENT = {"drift", "gradient", "memflex", "norm", "wagle", "wagle_code"}


@pytest.fixture(scope="module")
def records() -> dict[str, GaugeRecord]:
    seen = evidence()
    target = tiny_region(seen.model)
    methods = [
        (name, LOCALIZERS[name](LOCALIZERS[name].Config()))
        for name in sorted(INVARIANT | DEPENDENT)
    ]
    before = {name: tensor.clone() for name, tensor in seen.model.state_dict().items()}
    found = localize(seen, methods, len(target))
    tested = gauge_test(seen, methods, found, target, rescalings=2)
    assert all(tensor.equal(before[name]) for name, tensor in seen.model.state_dict().items())
    return tested


@pytest.mark.parametrize("name", sorted(INVARIANT))
def test_what_reads_the_function_ranks_alike_in_every_gauge(
    name: str, records: dict[str, GaugeRecord]
) -> None:
    for one in [*records[name]["random"], records[name]["balanced"]]:
        assert one["rank_correlation"] == pytest.approx(1, abs=1e-6) and one["kept"] == 1


@pytest.mark.parametrize("name", sorted(DEPENDENT))
def test_what_reads_lengths_does_not(name: str, records: dict[str, GaugeRecord]) -> None:
    assert len(records[name]["random"]) == 2
    for one in records[name]["random"]:
        assert one["rank_correlation"] < 0.99 and one["kept"] < 1


def test_the_balanced_form_of_a_localizer_is_the_same_in_every_gauge() -> None:
    """Whatever gauge it starts from; of `norm` it is the localizer `balanced_norm`."""
    seen = evidence()
    target = tiny_region(seen.model)
    methods = [("norm", LOCALIZERS["norm"](LOCALIZERS["norm"].Config()))]

    def balanced() -> object:
        found = localize(evidence(model=seen.model), methods, len(target))
        record = gauge_test(evidence(model=seen.model), methods, found, target, 0)["norm"]
        return record["balanced"]["precision"], record["balanced"]["auc"]

    first, fixed = balanced(), scores("balanced_norm", seen)
    rescale(seen.model, random_factors(seen.model, torch_generator(9, "gauge")))
    assert balanced() == first
    again = scores("balanced_norm", evidence(model=seen.model))
    assert all(again[name].allclose(fixed[name], rtol=1e-5) for name in fixed)
