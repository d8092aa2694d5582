"""What a shell offers, asked as the shell asks."""

import json
from pathlib import Path

import pytest

from sweeps.cli import completion, main

OFFERED = {
    "keys": [["seeds", "Test seeds."], ["search.seeds", "Tuning seeds."]],
    "data": [["tofu", ""], ["lume", ""]],
}


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of keys that are not read from the schema, which would take seconds."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "lacuna/keys.json"
    cache.parent.mkdir()
    cache.write_text(json.dumps({"state": completion._state(), **OFFERED}))
    return cache


def offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *typed: str
) -> list[str]:
    """bash hands over all words, `=` being one of its own, and the number of the last."""
    monkeypatch.setenv("_LACUNA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "\n".join(["lacuna", *typed]))
    monkeypatch.setenv("COMP_CWORD", str(len(typed)))
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code in (0, None)
    return capsys.readouterr().out.split()


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (("pl",), ["plan"]),
        (("store", "v"), ["verify"]),
        (("run", "sm"), ["smoke"]),
        (("run", "se"), ["seeds=", "search.seeds="]),
        (("run", "smoke", "search."), ["search.seeds="]),
        (("run", "smoke", "sm"), []),
        (("run", "smoke", "model", "=", "olmo2"), ["olmo2_1b", "olmo2_7b"]),
        (("run", "smoke", "model=olmo2"), ["model=olmo2_1b", "model=olmo2_7b"]),
        (("plan", "data", "="), ["tofu", "lume"]),
        (("config", "study", "=", "smo"), ["smoke"]),
        (("config", "seeds", "=", "1"), []),
        (("config", "--k"), ["--keys"]),
    ],
)
def test_studies_keys_and_choices_are_offered(
    known: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    typed: tuple[str, ...],
    words: list[str],
) -> None:
    assert offered(monkeypatch, capsys, *typed) == words


def test_finished_studies_are_offered_where_one_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LACUNA_ARTIFACTS", str(tmp_path))
    for study in ("mini", "table2-olmo2_7b"):
        (tmp_path / study).mkdir()
    (tmp_path / "mini" / "manifest.json").touch()
    assert offered(monkeypatch, capsys, "compare", "") == ["mini"]


def test_keys_are_read_anew_when_the_code_changes_and_without_a_place_to_keep_them(
    known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert completion.known_keys() == [("seeds", "Test seeds."), ("search.seeds", "Tuning seeds.")]
    monkeypatch.setattr(completion, "_state", lambda: "another")
    fresh = dict(completion.known_keys())
    assert fresh["unlearn.train.steps"] and "tofu" in dict(completion.known_keys("data"))
    assert json.loads(known.read_text())["state"] == "another"
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert dict(completion.known_keys()) == fresh
