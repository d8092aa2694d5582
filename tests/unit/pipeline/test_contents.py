"""`lacuna.pipeline` is the table of contents: its stages in order, for every protocol."""

import pytest

from lacuna import pipeline
from sweeps.plan.protocols import PROTOCOLS
from sweeps.stage import KINDS


def test_the_stages_come_first_and_in_the_order_in_which_a_study_needs_them() -> None:
    assert pipeline.__all__[: len(KINDS)] == list(KINDS)
    assert all(callable(getattr(pipeline, kind)) for kind in KINDS)
    shown = [
        line.split()[0] for line in (pipeline.__doc__ or "").splitlines() if line[:4] == " " * 4
    ]
    assert shown == list(KINDS)


@pytest.mark.parametrize("name", [n for n, p in PROTOCOLS.items() if p.__module__[:7] == "sweeps."])
def test_every_protocol_has_the_stages_that_depend_on_it_in_the_library(name: str) -> None:
    protocol = getattr(pipeline, name)
    assert all(callable(getattr(protocol, kind)) for kind in ("retained", "injected", "localized"))
