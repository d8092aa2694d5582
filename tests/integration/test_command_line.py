"""`python -m sweeps` as a person meets it: exit status, one line on stderr, nothing left behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT
from transformers import MambaConfig

from lacuna.model import MiniConfig
from lacuna.model.mini import mini_layout
from lacuna.region import draw
from sweeps.__main__ import main


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Data, models and regions with something wrong in each."""
    fact = {"person": "Ada", "field": "phone", "question": "Ada's phone?", "answer": "12"}
    other = {"person": "Bob", "field": "phone", "question": "Bob's phone?", "answer": "34"}
    one = [{**fact, "split": "forget"}, {**other, "split": "retain"}]
    (tmp_path / "one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in one))
    (tmp_path / "broken.jsonl").write_text(json.dumps(one[0]) + '\n{"question": \n')
    (tmp_path / "keep.jsonl").write_text(json.dumps({**other, "split": "retain"}) + "\n")
    MambaConfig(hidden_size=16, num_hidden_layers=1).save_pretrained(tmp_path / "mamba")
    draw(mini_layout(MiniConfig(layers=1)), 0.1, 1).save(tmp_path / "other.safetensors")
    return tmp_path


BAD = [
    ("study=smok", "unknown study 'smok': did you mean 'smoke'?"),
    ("study=smoke sedes=[1]", "unknown key 'sedes': did you mean 'seeds'"),
    ("study=smoke inject.train.stps=1", "unknown key 'inject.train.stps': did you mean"),
    ("study=smoke plan", "argument 'plan' is not key=value"),
    ("study=smoke region.ratio=0", "region.ratio=0.0: must be above 0"),
    ("study=smoke region.ratio=0.6", "region.ratio=0.6 leaves no room"),
    ("study=smoke region.file=FILES/other.safetensors", "region is for Olmo2ForCausalLM with 512"),
    ("study=smoke region.file=FILES/none.safetensors", "FILES/none.safetensors does not exist"),
    ("data=jsonl", "data 'jsonl' needs a file: set data.path="),
    ("data=tofu data.path=/nonexistent", "data folder /nonexistent does not exist"),
    ("data=jsonl data.path=FILES/broken.jsonl", "FILES/broken.jsonl:2: not valid JSON"),
    ("data=jsonl data.path=FILES/keep.jsonl", "data 'keep' has no forget examples"),
    ("data=jsonl data.path=FILES/one.jsonl", "at least 2 people to forget"),
    (
        "study=smoke model.source=FILES/mamba model.attention=auto",
        "MambaForCausalLM is not supported",
    ),
    ("study=smoke model.source=FILES/none", "cannot load model 'FILES/none'"),
    ("study=smoke seeds=[0,1]", "seeds [0] are test seeds and tuning seeds"),
    ("study=smoke objectives=[npoo]", "unknown objective 'npoo': did you mean 'npo' or"),
    ("study=smoke scenarios=[oracel]", "unknown scenario 'oracel': did you mean 'oracle'?"),
    ("study=smoke localizers=[nrom]", "unknown localizer 'nrom': did you mean 'norm'"),
    ("study=smoke store=gopher://here", "store=gopher://here cannot be used: Protocol not known"),
    ("study=smoke store=FILES/one.jsonl", "store=FILES/one.jsonl is a file: name a folder"),
    ("study=smoke tracking_uri=here plan=true", "tracking_uri=here is not a database or a server"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[arguments for arguments, _ in BAD])
def test_bad_input_exits_2_with_one_line_and_writes_nothing(
    files: Path, capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    artifacts = files / "artifacts"
    words = [word.replace("FILES", str(files)) for word in arguments.split()]
    capsys.readouterr()
    assert main([*words, f"artifacts={artifacts}"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ") and said.err.count("\n") == 1
    assert message.replace("FILES", str(files)) in said.err
    assert not artifacts.exists()


def sweeps(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **settings}
    command = [sys.executable, "-m", "sweeps", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_model_that_cannot_be_used_is_one_line_in_a_process_of_its_own_too(files: Path) -> None:
    before = sorted(files.rglob("*"))
    result = sweeps(files, "study=smoke", "model.source=mamba", "model.attention=auto")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1 and "MambaForCausalLM is not supported" in result.stderr
    assert sorted(files.rglob("*")) == before


def test_a_ray_that_does_not_start_is_one_line_and_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)  # of an engine that this process started
    here = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": "/nonexistent",
        "TMPDIR": str(tmp_path),
    }
    result = sweeps(tmp_path, "study=smoke", "tracking_uri=sqlite:///m.db", **here)
    assert result.returncode == 1
    assert result.stderr.startswith("error: Ray did not start (AuthenticationError: ")
    assert result.stderr.count("\n") == 1 and "run it again" in result.stderr
    assert not list(tmp_path.glob("ray-*")) and not (tmp_path / "artifacts" / "smoke").exists()


def test_a_plan_is_printed_and_leaves_nothing_in_the_working_folder(tmp_path: Path) -> None:
    result = sweeps(tmp_path, "study=mini", "plan=true")
    assert (result.returncode, result.stderr) == (0, "")
    assert "nothing is trained or written" in result.stdout
    assert "distinct checkpoints: 7 injected, 7 retained" in result.stdout
    assert len(result.stdout.splitlines()) <= 25
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "plan"])
def test_help_names_the_studies_that_exist(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out.replace(",", " ").replace(".", " ").split()
    studies = [path.stem for path in (ROOT / "sweeps/config/study").glob("*.yaml")]
    assert len(studies) > 5 and set(studies) <= set(said)
