"""Files of named configurations: each is one that some study reads."""

import shutil
from pathlib import Path

import pytest
from support import ROOT

from lacuna.data import DATA
from lacuna.errors import UserError
from sweeps.config.compose import configure
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
        ("epochs/tofuu-batch8", "epochs/tofuu-batch8.yaml is never read.*"),
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


def test_a_variant_is_chosen_by_name_and_a_misspelt_choice_refused() -> None:
    check_words(["epochs=tofu-batch32"])
    with pytest.raises(
        UserError, match="unknown epochs 'tofu-batch3': did you mean 'tofu-batch32'"
    ):
        check_words(["epochs=tofu-batch3"])


@pytest.mark.parametrize(
    ("words", "batch", "retained", "forget"),
    [([], 16, 5 * 225, 5 * 25), (["epochs=tofu-batch32"], 32, 5 * 113, 5 * 13)],
)
def test_table2_trains_as_the_paper_says_or_as_its_repository_does(
    words: list[str], batch: int, retained: int, forget: int
) -> None:
    study = configure(["study=table2", "data.path=TOFU", *words])
    recipe = study.retained.recipe.train
    assert (recipe.steps, study.inject.train.steps, study.unlearn.train.steps) == (
        retained,
        forget,
        forget,
    )
    assert {recipe.batch_size, study.inject.train.batch_size, study.unlearn.train.batch_size} == {
        batch
    }
    assert recipe.lr == 1e-5  # the printed rates, either way
