"""What the hub may answer: each refusal is one line with the way out, and plans need no weights."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from lacuna.data.tokens import Prompt
from lacuna.errors import UserError
from lacuna.model import load_model, read_layout

REFUSALS = {
    "gated/model": (403, "GatedRepo"),
    "no/model": (404, "RepoNotFound"),
    "some/model": (404, "RevisionNotFound"),
}


class Hub(BaseHTTPRequestHandler):
    """Refuses everything, in the hub's own way."""

    def do_GET(self) -> None:
        name = next((name for name in REFUSALS if name in self.path), "no/model")
        status, code = REFUSALS[name]
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *words: object) -> None:
        """Silent."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A hub on this machine, and an empty cache."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield address
    server.shutdown()
    server.server_close()


def refusal(source: str, revision: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        read_layout(source, revision)
    with pytest.raises(UserError) as again:
        load_model(source, prompt=Prompt(), revision=revision)
    assert str(again.value) == str(caught.value)
    assert "\n" not in str(caught.value) and repr(source) in str(caught.value)
    return str(caught.value)


def test_a_gated_model_says_where_to_ask_and_what_to_set(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refusal("gated/model")
    assert "gated" in said and f"{hub}/gated/model" in said
    assert "without a token" in said and "set HF_TOKEN" in said and "model.source=FOLDER" in said
    monkeypatch.setattr("lacuna.model.architecture.get_token", lambda: "hf_x")
    assert "with the token that is set" in refusal("gated/model")


def test_a_wrong_revision_and_an_unknown_model_are_told_apart(hub: str) -> None:
    said = refusal("some/model", "v9")
    assert "(revision v9)" in said and "no such branch, tag or commit" in said
    assert "model.revision" in said
    said = refusal("no/model")
    assert "no such model" in said and "HF_TOKEN" in said


def test_a_hub_that_may_not_be_asked_is_named_with_the_way_out(
    hub: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said = refusal("some/model")
    assert "no copy is on this machine" in said and "model.source=FOLDER" in said
