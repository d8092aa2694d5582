"""The examples run, as they stand and as they are shown."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT

from lacuna.errors import UserError


@pytest.fixture
def one_trial() -> Callable[..., None]:
    main: Callable[..., None] = runpy.run_path(str(ROOT / "examples" / "one_trial.py"))["main"]
    return main


def test_one_trial_goes_through_every_stage_in_seconds(
    one_trial: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_trial("graddiff", "complement", lr=1e-3, seed=2, effort=0.01, root=tmp_path)
    lines = capsys.readouterr().out.splitlines()[-4:]  # DeepSpeed may say that it sees no GPU
    assert [line.split()[0] for line in lines] == [
        "extraction",
        "retained,",
        "injected",
        "unlearned",
    ]
    assert {path.name for path in tmp_path.glob("*/*.safetensors")} == {
        "model.safetensors",
        "region.safetensors",
        "complement.safetensors",
    }


def test_a_mistyped_method_is_named_with_the_nearest(
    one_trial: Callable[..., None], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="unknown objective 'npoo': did you mean 'npo'"):
        one_trial("npoo", "full", lr=1e-3, seed=2, effort=0.01, root=tmp_path)
