"""docs/operations.md says of forty bad inputs what a person will read."""

import pytest
from support.bad_inputs import INPUTS, PAGE, page


def test_the_page_lists_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert len(INPUTS) >= 40
    text = PAGE.read_text("utf-8")
    assert page(text) == text, "run PYTHONPATH=.:tests python -m support.bad_inputs"
