"""From the command line to a study: what is composed, and what is refused in one line."""

import re
from pathlib import Path

import pytest

from lacuna.errors import UserError
from lacuna.unlearn import OBJECTIVES
from sweeps.configure import configure, names


@pytest.mark.parametrize("study", names("study"))
def test_every_study_in_the_folder_composes_under_its_own_name(study: str) -> None:
    config = configure([f"study={study}"])
    assert config.study == study
    assert list(config.objectives) and list(config.scenarios) and list(config.seeds)


def test_the_command_line_wins_over_the_study_and_the_study_over_the_defaults() -> None:
    config = configure(["study=smoke", "inject.train.steps=7"])
    assert config.inject.train.steps == 7
    assert config.inject.train.batch_size == 8  # the study's; the dataclass says 16
    assert config.inject.retain_weight == 2.0  # nobody's but the dataclass's


LEARNED = {name for name, method in OBJECTIVES.items() if not method.rates}
"""Edits bring their own rate; all others need candidates."""
CONFINED = {name for name in LEARNED if OBJECTIVES[name].confined}


@pytest.mark.parametrize("study", names("study"))
@pytest.mark.parametrize("data", ["synthetic", "tofu", "lume", "jsonl"])
def test_every_study_runs_on_every_kind_of_data(study: str, data: str) -> None:
    config = configure(
        [f"study={study}", f"data={data}", "data.path=x"][: 2 + (data != "synthetic")]
    )
    assert config.study == study and config.data.name == data
    assert config.unlearn.lrs.region.keys() == CONFINED
    assert config.unlearn.lrs.full.keys() == LEARNED


def test_paths_become_absolute_and_absent_ones_stay_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = configure(["study=mini", "data=jsonl", "data.path=facts.jsonl"])
    assert config.data.path == str(tmp_path / "facts.jsonl")
    assert config.artifacts == str(tmp_path / "artifacts")
    assert config.region.file is None


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("study=smok", "unknown study 'smok': did you mean 'smoke'?"),
        ("data=jsnl", "unknown data 'jsnl': did you mean 'jsonl'?"),
        ("model=min", "unknown model 'min': did you mean 'mini'?"),
        ("sedes=[1]", "unknown key 'sedes': did you mean 'seeds'"),
        ("region.rato=0.1", "unknown key 'region.rato': did you mean 'region.ratio'"),
        ("unlearn.train.stps=3", "unknown key 'unlearn.train.stps': did you mean"),
        ("+region.rato=0.1", "unknown key 'region.rato': did you mean 'region.ratio'"),
        ("+foo=1", "unknown key 'foo': choose one of address, artifacts, attack"),
        ("study", "argument 'study' is not key=value"),
        ("--seeds=1", "argument '--seeds=1' is not key=value"),
        ("base_seed=many", "argument 'base_seed=many': Value 'many' of type 'str'"),
        ("seeds=[a]", "argument 'seeds=[a]': Value 'a' of type 'str'"),
        ("data=jsonl", "data 'jsonl' needs a file: set data.path=FILE.jsonl"),
        ("study=smoke data=jsonl", "data 'jsonl' needs a file: set data.path=FILE.jsonl"),
        ("inject.train.steps=-1", "steps=-1: must not be negative"),
        ("evaluate.alphas=1", "evaluate.alphas=1: a curve needs at least 2 points"),
        ("unlearn.options.npo.beta=-1", "beta=-1.0: must be above 0"),
        ("unlearn.options.flat.divergence=x", "divergence=x: must be one of total_variation, jen"),
        ("unlearn.options.idk.retain=x", "retain=x: must be nll or kl or kl_peer or hidden"),
        ("localize.wagle.forget=x", "wagle: forget='x': choose objective or nll"),
        ("localize.snip.scope=x", "scope='x': choose one of global, layer, matched"),
        ("localize.zero_out.exact=0", "zero_out.exact=0: must be at least 1"),
        ("unlearn.options.ssd.alpha=-1", "option alpha=-1.0: must be 0 or more"),
        ("unlearn.wrap.sam.rho=-1", "option rho=-1.0: must be 0 or more"),
        ("unlearn.wrap.sma.rho=1", "unknown key 'unlearn.wrap.sma.rho': did you mean"),
        ("model.prompt.template=x", "prompt template 'x' lacks {question}"),
        ("data.num_forget=0", "num_forget=0 is out of range"),
    ],
)
def test_bad_input_is_refused_in_one_line_that_names_it(overrides: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        configure(overrides.split())
    assert "\n" not in str(caught.value)
