"""Files of named configurations: each is one that some study reads."""

import shutil
from pathlib import Path

import pytest
from support import ROOT

from lacuna.data import DATA
from lacuna.errors import UserError
from sweeps.config.groups import check_files, check_words, names

CONFIG = ROOT / "sweeps/config"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


def test_every_file_is_read_by_some_study() -> None:
    groups = [path.name for path in CONFIG.iterdir() if path.is_dir() and path.name[0] != "_"]
    assert sorted(groups) == ["epochs", "model", "published", "recipe", "size", "study"]
    check_files(frozenset(DATA))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (
            "size/smok-tofu",
            "size/smok-tofu.yaml is never read.*: did you mean 'smoke-tofu'",
        ),
        ("recipe/mini-tfou", "recipe/mini-tfou.yaml is never read.*: did you mean 'mini-tofu'"),
        ("recipe/minni", "recipe/minni.yaml is never read.*: did you mean 'mini'"),
        ("epochs/tofuu", "epochs/tofuu.yaml is never read.*: did you mean 'tofu'"),
        ("published/table2-olmo2", r"published/table2-olmo2.yaml is .*'table2-olmo2_7b'"),
    ],
)
def test_a_misspelt_file_is_named_with_the_nearest_name(
    folder: Path, file: str, message: str
) -> None:
    (folder / f"{file}.yaml").write_text("seeds: [1]\n")
    with pytest.raises(UserError, match=message) as caught:
        check_files(frozenset(DATA), folder)
    assert "\n" not in str(caught.value)


def test_a_new_study_may_have_files_and_a_file_may_build_on_another(folder: Path) -> None:
    (folder / "study/own.yaml").write_text("study: own\n")
    (folder / "size/own-tofu.yaml").write_text("defaults: [people]\n")
    (folder / "size/people.yaml").write_text("seeds: [1]\n")
    check_files(frozenset(DATA), folder)
    (folder / "size/own-tofu.yaml").unlink()
    with pytest.raises(UserError, match=r"size/people\.yaml is never read"):
        check_files(frozenset({*DATA, "fresh"}), folder)


def test_names_are_those_of_the_files() -> None:
    assert {"mini", "smoke", "table2"} <= set(names("study"))
    assert {"mini", "hub"} <= set(names("model"))


def test_words_that_name_nothing_are_refused() -> None:
    check_words(["study=smoke", "model=mini,hub", "seeds=[1]", "+a=1"])
    for word, message in (
        ("seeds", "argument 'seeds' is not key=value"),
        ("-s=1", "argument '-s=1' is not key=value"),
        ("study=smok", "unknown study 'smok': did you mean 'smoke'"),
        ("model=mini,hbu", "unknown model 'hbu': did you mean 'hub'"),
    ):
        with pytest.raises(UserError, match=message):
            check_words([word])
