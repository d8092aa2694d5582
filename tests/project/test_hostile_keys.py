"""No value of any key ends planning in a traceback, in silence, or not at all.

`pytest --whole` tries all of them, many thousand; without it a share, another key and value each
time the list changes.
"""

from itertools import islice

import pytest
from support.hostile import Try, answer, tries, wrong

SHARE = 293
"""One of so many tries, where not all are asked for."""


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def test_there_are_thousands_of_tries_and_each_kind_for_every_key() -> None:
    found = list(tries())
    assert len(found) >= 2000
    kinds = {one.key.name: set[str]() for one in found}
    for one in found:
        kinds[one.key.name].add(one.kind)
    assert {len(each) for each in kinds.values()} == {8}


def test_a_hostile_value_of_any_key_is_refused_in_one_line_that_names_it(
    request: pytest.FixtureRequest,
) -> None:
    share = 1 if request.config.getoption("--whole") else SHARE
    found = [(one, wrong(one, answer(one.words))) for one in islice(tries(), 0, None, share)]
    assert [(*one.words[2:], why) for one, why in found if why] == []


CASES = {
    "unlearn.lrs.region=5": "unlearn.lrs.region=5: name objectives, such as",
    "unlearn.lrs.region.wga=5": "unlearn.lrs.region.wga=5: give a list",
    "unlearn.lrs.region.wga=[1e-3,1e-3]": "unlearn.lrs.region.wga=[0.001, 0.001]: give",
    "unlearn.train.weight_decay=nan": "unlearn.train.weight_decay=nan: must be a finite number",
    "attack.relearn_lrs=[nan]": "attack.relearn_lrs=nan: must be a finite number",
    "localize.memflex.mu=nan": "localize.memflex.mu=nan: must be a finite number",
    "artifacts=???": "argument 'artifacts=???'",
    "model=,": "unknown model '': choose one of",
    "data=5": "data=5: the name of a data source",
    "unlearn=5": "argument 'unlearn=5'",
    "unlearn.lrs=5": "argument 'unlearn.lrs=5'",
    "++seeds.x=3": "argument '++seeds.x=3'",
    "+resources.sequences.abc=2 resources.gpu_memory=24": "resources.sequences.abc: name it by",
    "+resources.sequences.24=0 resources.gpu_memory=24": "resources.sequences.24=0: must be 1 to",
    "+unlearn.lrs.orcale.wga=[1e-3]": "unknown scenario 'orcale': did you mean 'oracle'?",
    "+unlearn.lrs.oracle.wgaa=[1e-3]": "unknown objective 'wgaa': did you mean 'wga'",
    "margins.aues=nan": "margins.aues=nan: must be a finite number",
    "margins.aues=-1": "margins.aues=-1: must be 0 to",
    "attack.lora.shap.rank=2": "unknown key 'attack.lora.shap.rank': did you mean 'attack.lora.sha",
    "unlearn.options.npo.bet=2": "unknown key 'unlearn.options.npo.bet': did you mean 'unlearn.op",
    "masked.inject.dropout.rte=2": "unknown key 'masked.inject.dropout.rte': did you mean 'mask",
    "data.questions=2": "key 'data.questions' is there with data=tofu only",
    "seeds=[1": "argument 'seeds=[1' cannot be read",
}


@pytest.mark.parametrize("words", CASES)
def test_what_once_ended_in_a_traceback_or_was_accepted(words: str) -> None:
    found = answer(["study=smoke", "plan=true", *words.split()])
    assert found.what == "refused" and CASES[words] in found.said


@pytest.mark.parametrize(
    "word",
    [
        "seeds=[" + ",".join(map(str, range(1, 9000))) + "]",
        "seeds=[" + ",".join(map(str, range(1, 1000))) + "]",
        "regions=1000000",
        "search.trials=100000000",
        "evaluate.alphas=1000000000",
        "data.num_retain=1000000000",
        "model.mini.layers=100000000",
        "data.num_neutral=99999999",
    ],
)
def test_planning_answers_soon_whatever_is_asked(word: str) -> None:
    found = answer(["study=smoke", "plan=true", word])
    assert found.what == "refused" and word.partition("=")[0].rpartition(".")[2] in found.said


def test_a_path_with_marks_is_told_the_quoting_that_works() -> None:
    for value in ("runs/lr=1e-5,seed=0/f.jsonl", "a=b", "x{1}", "o'brien=1"):
        found = answer(["study=smoke", "data=jsonl", f"data.path={value}"])
        assert found.what == "refused" and f"'data.path={value}'" in found.said.replace('"', "'")
        better = found.said.partition("write ")[2].strip('"')
        assert "does not exist" in answer(["study=smoke", "data=jsonl", better]).said


def test_a_tilde_that_no_shell_expanded_is_the_home_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/nowhere")
    for word in ("data.path=~/facts.jsonl", "data.path='~/facts.jsonl'"):
        found = answer(["study=smoke", "data=jsonl", word])
        assert "/nowhere/facts.jsonl does not exist" in found.said


def test_the_argument_that_is_wrong_is_blamed_and_no_other() -> None:
    words = ["study=smoke", "data=jsonl", "data.path=x", "seeds=[2]", "inject.train.steps=many"]
    assert answer(words).said.startswith("argument 'inject.train.steps=many': ")
    words = ["data.path=x", "inject.train.steps=many", "data=jsonl", "study=smoke", "seeds=[2]"]
    assert answer(words).said.startswith("argument 'inject.train.steps=many': ")


def test_tries_that_a_study_could_mean_are_known() -> None:
    seeds = next(one for one in tries() if one.key.name == "seeds" and one.value == "[1,1]")
    assert seeds.must_fail and not Try(seeds.key, "empty", "[]").must_fail
