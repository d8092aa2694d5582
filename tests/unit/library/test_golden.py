"""Every method of the library still gives its golden numbers (`support.golden` records them)."""

import pytest
import torch
from support import golden
from support.tiny import tiny_model, whole_batch

from lacuna.artifacts import read_json
from lacuna.localize import LOCALIZERS, Localizer
from lacuna.model import answers

CASES = golden.cases()
HOW = 'PYTHONPATH=.:tests python -m support.golden "{}"'

EXACT = 1e-9
"""float64 throughout: processors differ by 1e-15, 7e-12 where normal numbers are drawn."""
SINGLE = 1e-6
"""Where a method computes in float32, processors differ by 1e-7."""
IN_SINGLE = ("objective memflex_lora", "localizer")
"""How names of such cases begin: an adapter is float32, and so are scores."""


def within(name: str) -> float:
    return SINGLE if name.startswith(IN_SINGLE) else EXACT


def assert_golden(name: str, found: golden.Numbers) -> None:
    """Entries that nearly cancel are compared on the scale of the largest beside them."""
    how = HOW.format(name)
    recorded = read_json(golden.RECORD)
    assert name in recorded, f"{name} has no golden numbers: run {how}, and commit the file"
    expected = recorded[name]
    assert found.keys() == expected.keys(), f"{name} moved other weights; if that is meant: {how}"
    for part, numbers in expected.items():
        scale = max(map(abs, numbers))
        close = pytest.approx(numbers, rel=within(name), abs=within(name) * scale)
        assert found[part] == close, f"{part} of {name} changed; if that is meant: {how}"


@pytest.mark.parametrize("name", CASES)
def test_a_method_gives_its_golden_numbers_and_does_something(name: str) -> None:
    """A method that moved nothing would be golden whatever became of it."""
    found = CASES[name]()
    assert_golden(name, found)
    if not name.startswith("localizer"):
        assert any(change > 1e-3 for part, (*_, change) in found.items() if part != "losses")


def test_nothing_is_recorded_that_no_longer_exists() -> None:
    assert set(read_json(golden.RECORD)) == set(CASES)


def test_an_unknown_method_and_a_changed_number_fail_and_say_how_to_record() -> None:
    with pytest.raises(AssertionError, match=r'no golden numbers: run .* "objective new"'):
        assert_golden("objective new", {})
    numbers = {part: [*values] for part, values in read_json(golden.RECORD)["objective ga"].items()}
    numbers["losses"][7] *= 1 + 3e-9
    with pytest.raises(AssertionError, match="losses of objective ga changed"):
        assert_golden("objective ga", numbers)


def test_methods_of_other_packages_are_no_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(Localizer): ...

    monkeypatch.setitem(LOCALIZERS._items, "foreign", Foreign)
    assert golden.cases().keys() == CASES.keys()


def test_the_golden_model_is_the_ordinary_one_but_for_float32_inside() -> None:
    exact, plain = golden.model(), tiny_model(dtype=torch.float64)
    plain.load_state_dict(exact.state_dict())
    batch = whole_batch(golden.data().forget)
    expected, found = (answers(model, batch).logits_NV for model in (plain, exact))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not torch.equal(found, expected)
