"""`lacuna config`: what is printed, line by line."""

import pytest

from sweeps.cli import config, main
from sweeps.config.keys import Key


def said(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    capsys.readouterr()
    assert main(["config", *words]) == 0
    return capsys.readouterr().out.splitlines()


def test_a_study_is_printed_a_key_a_line_with_its_source(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = said(capsys, "smoke", "base_seed=4", "data=tofu", "data.path=x")
    shown = dict(line.split("  # ")[0].strip().split(": ", 1) for line in lines)
    source = {line.split(": ")[0]: line.rsplit("  # ", 1)[1] for line in lines}
    assert len(shown) == len(lines)
    assert (shown["base_seed"], source["base_seed"]) == ("4", "command line")
    assert (shown["seeds"], source["seeds"]) == ("[1, 2]", "study/smoke.yaml")
    assert (shown["model.prompt.separator"], source["model.prompt.separator"]) == (
        '" "',
        "model/mini.yaml",
    )
    assert (shown["store"], source["store"]) == ("null", "default")
    assert (shown["data.name"], source["data.name"]) == ("tofu", "command line")


def test_each_of_several_models_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "table2", "model=pythia,qwen3")
    assert [line for line in lines if line.startswith("#")] == ["# model=pythia", "# model=qwen3"]
    sources = [line for line in lines if line.startswith("model.source")]
    assert len(sources) == 2 and "pythia-160m" in sources[0] and "Qwen3" in sources[1]


def test_keys_of_a_prefix_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "--keys", "search.fs")
    assert lines[0] == "search.fs_low: float = 0.9"
    assert lines[1].startswith("    Lowest forget strength at alpha = 1")
    assert [line.split(":")[0] for line in lines if not line.startswith(" ")] == [
        "search.fs_low",
        "search.fs_high",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (1e-5, "1e-05"),
        ("mini", "mini"),
        ("s3://b/p", "s3://b/p"),
        ("", '""'),
        ("{question}", '"{question}"'),
        ("a # b", '"a # b"'),
        ("ends ", '"ends "'),
        ("two\nlines", '"two\\nlines"'),
        (("a", 1), '["a", 1]'),
    ],
)
def test_values_are_written_as_they_may_be_typed(value: object, text: str) -> None:
    assert config._text(value) == text


def test_a_key_without_a_default_shows_none() -> None:
    assert list(config._lines(Key("study", "str", "???", "Name."))) == ["study: str", "    Name."]
