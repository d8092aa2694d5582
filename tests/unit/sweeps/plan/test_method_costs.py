"""What methods say of their own cost, on texts of known size."""

import pytest

from lacuna.costs import ALL, REGION, Texts, Workload
from lacuna.localize import LOCALIZERS, Localizer
from lacuna.localize.evidence import Statistic
from lacuna.train import TrainConfig
from lacuna.unlearn import OBJECTIVES, WRAPPERS

LOAD = Workload(
    forget=Texts(10, 200),
    retain=Texts(20, 600),
    refusals=Texts(10, 150),
    neutral=Texts(5, 1000),
    layers=8,
)
TRAIN = TrainConfig(steps=3, batch_size=4, accumulation=2)  # 24 texts of each kind
FORGET, RETAIN, REFUSAL = 24 * 20, 24 * 30, 24 * 15


def work(name: str, gradient: float = REGION, **options: object) -> float:
    method = OBJECTIVES[name]
    return method(method.Config(**options)).work(LOAD, TRAIN, gradient)


def test_texts_are_drawn_again_and_again_but_some_are_never_more_than_all() -> None:
    assert Texts.of([1.0, 2.0, 3.0]) == Texts(3, 6)
    assert LOAD.forget.drawn(24) == 480 and LOAD.forget.some(24) == 200
    assert LOAD.forget.some(5) == 100 and Texts(0, 0).drawn(7) == 0


def test_an_objective_counts_the_texts_of_its_steps_and_the_models_it_asks() -> None:
    assert work("ga") == 2 * (FORGET + (RETAIN if uses_retain("ga") else 0))
    assert work("graddiff", ALL) == 3 * (FORGET + RETAIN)
    assert work("graddiff", retain="kl") == 2 * (FORGET + RETAIN) + RETAIN
    assert work("npo") == 2 * (FORGET + RETAIN) + 200  # the reference, once
    assert work("dpo") == 2 * (FORGET + RETAIN + REFUSAL) + 200 + 150
    assert work("match", retain_weight=0.0) == 2 * FORGET + FORGET
    assert work("undial") == 2 * FORGET + FORGET
    # adapters need no gradients of the weights, whatever else would
    chosen = 3 * REGION * (200 + 600)
    assert work("memflex_lora", ALL) == 2 * (FORGET + RETAIN) + chosen


def uses_retain(name: str) -> bool:
    return OBJECTIVES[name].Config().retain_weight > 0


def test_an_edit_counts_what_it_reads() -> None:
    assert work("restore") == 0
    assert work("ssd", examples=15) == 2 * (200 + 15 * 30)
    assert work("task_vector", ALL) == 3 * FORGET
    found = work("alphaedit", steps=7, first=0.25, last=0.5)  # layers 2, 3 and 4
    assert found == 7 * 2 * (200 + 10 * 30) + 3 * 200 * 4 + 600 + 1000


def test_a_wrapper_counts_what_it_scores() -> None:
    def scoring(name: str, **options: object) -> float:
        return WRAPPERS[name](WRAPPERS[name].Config(**options)).scoring(LOAD, REGION)

    assert scoring("sam") == scoring("coreset") == 0
    assert scoring("coreset", select="grand") == 2 * 200
    assert scoring("coreset", select="min_k") == 200
    assert scoring("reweight", examples=2) == 2 * (200 + 60)


def localizer(name: str, **options: object) -> Localizer:
    return LOCALIZERS[name](LOCALIZERS[name].Config(**options))


def test_localizers_share_statistics_and_count_their_own_readings() -> None:
    shared = localizer("snip").statistics
    assert shared == localizer("gradient").statistics == (Statistic.gradients("forget"),)
    assert shared[0].work(LOAD) == 2 * 200 and shared[0].matrices == 1
    memflex = localizer("memflex", repeats=3).statistics
    assert [asked.work(LOAD) for asked in memflex] == [3 * 2 * 200, 3 * 2 * 600]
    assert not {*memflex} & {*localizer("wagle").statistics}
    assert localizer("zero_out", exact=5, examples=4).work(LOAD) == 5 * 80
    steps = localizer("integrated_gradients", steps=6, examples=4).work(LOAD)
    assert steps == 2 * 8 * 6 * 80
    assert localizer("norm").work(LOAD) == 0 and not localizer("norm").statistics


@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_twice_the_texts_are_at_most_twice_the_work(name: str) -> None:
    method = OBJECTIVES[name](OBJECTIVES[name].Config())
    twice = TrainConfig(steps=6, batch_size=4, accumulation=2)
    once, more = (method.work(LOAD, train, REGION) for train in (TRAIN, twice))
    assert 0 <= once <= more <= 2 * once
