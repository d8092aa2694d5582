"""The command `lacuna`: light to start, one line for what is wrong, older spellings kept."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support import ROOT

from lacuna.errors import UserError
from sweeps import __main__ as module
from sweeps.cli import main, reference, run, words

HEAVY = {"torch", "transformers", "ray", "mlflow", "hydra", "deepspeed"}


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ("--help", 0),
        ("plan --help", 0),
        ("store gc --help", 0),
        ("audit --help", 0),
        ("rnu", 2),
        ("run smok", 2),
        ("run model=olmo", 2),
        ("plan mini seeds", 2),
        ("config mini --kyes", 2),
        ("compare", 2),
        ("report none", 2),
        ("across none --by seeds", 2),
        ("store ls artifact=x", 2),
        ("ui --port x", 2),
        ("audit --befor x", 2),
    ],
)
def test_help_and_mistyped_words_are_answered_without_the_library(
    tmp_path: Path, arguments: str, status: int
) -> None:
    code = (
        "import sys\nfrom sweeps.cli import main\n"
        f"try: status = main({arguments.split()})\n"
        "except SystemExit as ended: status = ended.code\n"
        f"print(status, sorted({HEAVY} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    *said, last = done.stderr.splitlines()
    assert last == f"{status} []"
    assert len(said) == (status == 2) and all(line.startswith("error: ") for line in said)
    assert bool(done.stdout) == (status == 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("rnu", "No such command 'rnu'. Did you mean 'run'?: see lacuna --help"),
        ("store", "Missing command: see lacuna store --help"),
        ("run smoke --plan", "No such option: --plan: see lacuna run --help"),
        ("compare", "Missing argument 'STUDY': see lacuna compare --help"),
        ("run smok", "unknown study 'smok': did you mean 'smoke'?"),
        ("run smoke model=hub,pythi", "unknown model 'pythi': did you mean 'pythia'?"),
        ("run smoke plan", "argument 'plan' is not key=value"),
        ("report mini seeds=[1]", "unknown key 'seeds' of report: choose one of artifacts"),
        ("ui tracking_uri=x", "unknown key 'tracking_uri' of ui: choose one of artifacts"),
        ("config --keys unlern", "no key begins with 'unlern': `lacuna config --keys` lists all"),
        ("audit --before x", "the following arguments are required: --after: see lacuna audit"),
    ],
)
def test_what_is_wrong_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: str, message: str
) -> None:
    assert main(arguments.split()) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith(f"error: {message}")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(run, "_study", broken)
    with pytest.raises(ZeroDivisionError):
        main(["run", "smoke"])


def test_ctrl_c_says_how_to_continue(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_study", stopped)
    assert main(["run", "smoke"]) == 1
    assert capsys.readouterr().err == "stopped; the same command continues where this one was\n"


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ([], ["run"]),
        (["study=smoke", "plan=true"], ["run", "study=smoke", "plan=true"]),
        (["run", "smoke"], ["run", "smoke"]),
        (["--help"], ["--help"]),
    ],
)
def test_the_module_runs_a_study_where_only_settings_are_given(
    monkeypatch: pytest.MonkeyPatch, spelling: list[str], expected: list[str]
) -> None:
    heard: list[list[str]] = []

    def hear(given: list[str]) -> int:
        heard.append(list(given))
        return 0

    monkeypatch.setattr(module.cli, "main", hear)
    assert module.main(spelling) == 0
    assert heard == [expected]


def test_older_spellings_of_flags_are_the_flags() -> None:
    assert words.renamed(["gc", "hours=3", "delete=true"]) == ["gc", "--hours", "3", "--delete"]
    assert words.renamed(["compare", "mini", "record=true"]) == ["compare", "mini", "--record"]
    assert words.renamed(["gc", "delete=false", "store=x"]) == ["gc", "store=x"]


def test_a_study_may_be_named_or_set_and_results_go_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LACUNA_ARTIFACTS", raising=False)
    assert words.overrides("smoke", ["a=1"]) == ["study=smoke", "a=1"]
    assert words.overrides("a=1", ["b=2"]) == ["a=1", "b=2"]
    assert words.overrides(None, None) == []
    assert words.root_of({"artifacts": ""}) == Path("artifacts")
    monkeypatch.setenv("LACUNA_ARTIFACTS", "/results")
    assert words.overrides("smoke", None) == ["artifacts=/results", "study=smoke"]
    assert words.overrides("smoke", ["artifacts=/a"]) == ["study=smoke", "artifacts=/a"]
    assert words.root_of({"artifacts": ""}) == Path("/results")
    assert words.root_of({"artifacts": "/a"}) == Path("/a")


def test_settings_of_a_finished_study_are_known_ones() -> None:
    assert words.chosen("ls", ["store=s3://b/p?x=1"], "artifacts", "store") == {
        "artifacts": "",
        "store": "s3://b/p?x=1",
    }
    with pytest.raises(UserError, match="unknown key 'stor' of ls: did you mean 'store'"):
        words.chosen("ls", ["stor=x"], "artifacts", "store")


def test_the_reference_holds_the_help_of_every_command() -> None:
    helps = dict(reference(width=90))
    verbs = ["run", "plan", "status", "scan", "config", "report", "compare", "across"]
    verbs += ["store", "model", "audit", "ui"]
    below = [*(f"store {verb}" for verb in STORE), "model get"]
    assert sorted(helps) == sorted(["lacuna", *(f"lacuna {verb}" for verb in [*verbs, *below])])
    for command, text in helps.items():
        assert text.lower().startswith(f"usage: {command} "), command
        assert "\x1b" not in text and max(map(len, text.splitlines())) <= 90, command
    for verb in verbs:
        lines = helps["lacuna"].splitlines()
        (summary,) = [line for line in lines if line.startswith(f"  {verb} ")]
        assert not summary.endswith("..."), "the first sentence of its help is too long"


STORE = ("ls", "verify", "gc")


def test_the_page_is_mlflow_s_own_server_on_the_studies_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *given: started.append(given))
    monkeypatch.chdir(tmp_path)
    for name in ("PORT", "LACUNA_UI_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert main(["ui", f"artifacts={tmp_path}"]) == 2
    assert "no study has run here yet" in capsys.readouterr().err and not started
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setenv("PORT", "5012")
    main(["ui", f"artifacts={tmp_path}"])
    ((program, command, environment),) = started
    assert program == command[0] == sys.executable
    line = " ".join(command[1:])
    assert line.startswith("-P -m mlflow server ")
    assert f"--backend-store-uri sqlite:///{tmp_path}/mlflow.db --host 127.0.0.1" in line
    assert line.endswith("--port 5012")
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
