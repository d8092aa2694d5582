"""The newer benchmarks: every way to a result gives the same result; time is not tested."""

from benchmarks import generate, localize, seven_b, significance, unlearn_step
from benchmarks._measure import Shape
from lacuna.localize import LOCALIZERS
from lacuna.localize import localize as locate

TINY = Shape(hidden=32, layers=2, intermediate=64, heads=2, vocabulary=101, length=24, batch=8)
WORDS = seven_b.Shape(32, 64, 2, 2, 101, needs_gpu=False)


def test_the_exact_test_gives_scipys_p() -> None:
    found = significance.compare(alphas=10, repeats=2, seed=1)
    assert found.p["lacuna"] == found.p["scipy"] and 0 < found.p["scipy"] < 1
    assert "1,024 swaps" in significance.describe(10, found)


def test_all_steps_of_npo_end_at_the_same_weights() -> None:
    found = unlearn_step.compare(TINY, steps=3, seed=1)
    assert found.moved > 1e-4 and max(found.difference.values()) < 1e-3 * found.moved
    assert {len(laps.wall) for laps in found.laps.values()} == {3}


def test_localizers_give_the_same_regions_together_and_by_themselves() -> None:
    found = localize.compare(TINY, repeats=1, seed=0)
    assert found.equal and found.dearest in found.laps
    assert {"gradient", "memflex", "wagle", "snip", "together"} <= set(found.laps)
    assert "zero_out" not in found.laps


def test_a_region_of_another_size_is_noticed() -> None:
    evidence, norm = localize.evidence(TINY, 0), LOCALIZERS["norm"]
    asked = [("norm", norm(norm.Config()))]
    five, six = (locate(evidence, asked, count)["norm"].region for count in (5, 6))
    assert localize.same(five, five) and not localize.same(five, six)


def test_answers_are_the_same_in_any_batch() -> None:
    found = generate.compare(WORDS, items=9, tokens=5, repeats=1, seed=0)
    assert found.equal == {"one by one": 9, "in order": 9}
