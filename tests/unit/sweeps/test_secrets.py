"""Passwords and tokens are written nowhere."""

import pickle
from pathlib import Path

import pytest

from lacuna.errors import UserError
from sweeps.engine.on_ray.session import _joined_environment
from sweeps.engine.worker import Runtime
from sweeps.errors import exit_status, one_line
from sweeps.plan.estimate import estimate_study
from sweeps.secrets import VARIABLE, hide, redacted, redacted_values, revealed
from sweeps.tracking.client import RunLocation

URI = "postgresql://ada:s3cr3t-w0rd@db.example:5432/runs?sslmode=require&password=tw1ce"
SHOWN = "postgresql://***@db.example:5432/runs?sslmode=require&password=***"
TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another-word")
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (URI, SHOWN),
        (f"cannot reach {URI}: refused", f"cannot reach {SHOWN}: refused"),
        ("http://token@host:5000", "http://***@host:5000"),
        ("s3://key:secret@bucket/x", "s3://***@bucket/x"),
        ("https://h/x?X-Amz-Signature=abc&v=1", "https://h/x?X-Amz-Signature=***&v=1"),
        (f"401 for bearer {TOKEN}", "401 for bearer ***"),
        ("sqlite:////a/b@c.db", "sqlite:////a/b@c.db"),
        ("s3://bucket/run@home", "s3://bucket/run@home"),
        ("org/model@main", "org/model@main"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_what_is_secret_is_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert redacted(text) == shown and redacted(shown) == shown


def test_values_at_any_depth_are_redacted() -> None:
    told = redacted_values({"a": [URI, 5, None], "b": {"c": (TOKEN,)}})
    assert told == {"a": [SHOWN, 5, None], "b": {"c": ("***",)}}


def test_messages_do_not_show_them(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> int:
        raise UserError(f"tracking_uri={URI} cannot be used with {TOKEN}")

    assert exit_status(fail, "stopped") == 2
    said = capsys.readouterr().err
    assert said == f"error: tracking_uri={SHOWN} cannot be used with ***\n"
    assert "s3cr3t" not in one_line(RuntimeError(URI))


def test_workers_find_the_whole_uri_and_tuner_state_does_not_hold_it() -> None:
    runtime = Runtime(RunLocation(hide(URI), "study", "spool"), "/root")
    state = pickle.dumps(runtime)
    assert b"s3cr3t" not in state and b"tw1ce" not in state
    assert revealed(pickle.loads(state).place.uri) == URI
    assert _joined_environment()[VARIABLE] == URI
    assert revealed("http://elsewhere:5000") == "http://elsewhere:5000"


def test_a_uri_without_secrets_is_handed_on_as_it_is() -> None:
    assert hide("http://host:5000") == "http://host:5000" and VARIABLE not in _joined_environment()


def test_plan_does_not_show_the_uri_of_a_server_that_is_away(tmp_path: Path) -> None:
    from support.studies import planned

    uri = "http://ada:s3cr3t-w0rd@127.0.0.1:9"
    planner = planned(f"artifacts={tmp_path}", f"tracking_uri={uri}")
    import sweeps.tracking.client as client

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client.time, "sleep", lambda _: None)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        text = estimate_study(planner).text()
    assert "http://***@127.0.0.1:9 does not answer" in text and "s3cr3t" not in text


def test_code_of_checkpoints_is_never_trusted() -> None:
    """Every call that could run it says no, in so many words."""
    import ast

    root = Path(__file__).parents[3]
    loading = {"from_pretrained", "from_config", "load_dataset", "pipeline"}
    found = []
    for file in [*(root / "lacuna").rglob("*.py"), *(root / "sweeps").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, file
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
                if name in loading:
                    found.append((file.name, name, {word.arg for word in node.keywords}))
    assert len(found) >= 4
    trusting = [
        (file, name)
        for file, name, words in found
        if name == "from_pretrained" and "trust_remote_code" not in words
    ]
    assert trusting == []
