"""From the command line to a study: what is composed, and what is refused in one line."""

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from lacuna.errors import UserError
from sweeps.config.compose import compose_keys, configure, per_model


def test_the_command_line_wins_over_the_study_and_the_study_over_the_defaults() -> None:
    config = configure(["study=smoke", "inject.train.steps=7"])
    assert config.inject.train.steps == 7
    assert config.inject.train.batch_size == 8  # the study's; the dataclass says 16
    assert config.inject.retain_weight == 2.0  # nobody's but the dataclass's


@pytest.mark.parametrize(
    "words",
    [
        "",
        "study=smoke data=jsonl data.path=x +unlearn.lrs.oracle.npo=[1,2] ~unlearn.lrs.full",
        "unlearn.lr=1e-3 model=llama3_8b study=table5 ++attack.bits=[8] region.ratio=0.2",
        "seeds=[1,2] study=smoke seeds=[3] unlearn.lr=2 unlearn.lr=null",
        "+resources.sequences.9=2 resources.sequences.9=4",
        "seeds=[4] +scenario_seeds.norm=2 model=mini data=tofu +data.path=null study=smoke",
    ],
)
def test_words_set_on_a_copy_make_what_hydra_makes_of_all_at_once(words: str) -> None:
    found = compose_keys(words.split())
    with initialize_config_module("sweeps.config", version_base="1.3"):
        whole = compose("config", overrides=words.split())
    OmegaConf.resolve(whole)
    assert found == whole and compose_keys(words.split()) == whole, "and leaves no trace"


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
        ("data=tofu data.path=x data.forget_peple=3", "did you mean 'data.forget_people'"),
        ("unlearn.train.lr=1", "unlearn.train.lr is no key: unlearn.lr=RATE fixes the rate of all"),
        ("attack.train.lr=1", "attack.train.lr is no key: attack.relearn_lrs=[RATE,...] and"),
        ("attack.lora.train.lr=1", "attack.lora.train.lr is no key: attack.lora_lrs=[RATE,...]"),
        ("attack.train.save_every=2", "attack.train.save_every is no key: an attack is not resum"),
        ("+inject.method=full", "inject.method is no key: protocol=full plants facts into all"),
        (
            "model.pretrain.save_every=2",
            "model.pretrain.save_every=2: base training is not resumed",
        ),
        ("masked.instruct.train.save_every=2", "instruct.train.save_every=2: instruction tuning"),
        ("+region.rato=0.1", "unknown key 'region.rato': did you mean 'region.ratio'"),
        ("+foo=1", "unknown key 'foo': choose one of address, alarm, artifacts"),
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


DEFAULT = "Question: {question}\nAnswer:"
TYPED = {
    r"model.prompt.template='Question: {question}\nAnswer:'": (DEFAULT, " "),
    r"model.prompt.template='{question}\t=\\n'": ("{question}\t=\\n", " "),
    r"model.prompt.separator='\n'": (DEFAULT, "\n"),
    'model.prompt.template=\'{"q": "{question}"}\'': ('{"q": "{question}"}', " "),
    "model.prompt.template='{instruction}{question}'": ("{instruction}{question}", " "),
}


@pytest.mark.parametrize("word", TYPED)
def test_a_prompt_typed_with_escapes_and_braces_is_what_it_looks_like(word: str) -> None:
    prompt = configure(["study=smoke", "model=hub", "model.source=x", word]).model.prompt
    assert (prompt.template, prompt.separator) == TYPED[word]


def test_batches_are_cut_to_the_memory_and_made_up_by_accumulation() -> None:
    def sizes(*overrides: str) -> tuple[int, int]:
        train = configure(["study=table2", *overrides]).inject.train
        return train.batch_size, train.accumulation

    assert sizes() == sizes("resources.gpu_memory=80") == (16, 1)
    assert sizes("resources.gpu_memory=48") == (8, 2)
    assert sizes("resources.gpu_memory=24", "inject.train.accumulation=2") == (4, 8)
    assert sizes("resources.gpu_memory=24", "inject.train.batch_size=6") == (3, 2)
    with pytest.raises(UserError, match="names 24, 40, 80: give a larger GPU"):
        sizes("resources.gpu_memory=12")
    assert sizes("resources.gpu_memory=12", "+resources.sequences.12=1") == (1, 16)


def test_several_models_are_several_studies() -> None:
    one = ["study=table2", "model=mini", "plan=true"]
    assert per_model(one) == [(None, one)]
    assert per_model(["study=table2", "model=a,b", "plan=true"]) == [
        ("a", ["study=table2", "model=a", "plan=true"]),
        ("b", ["study=table2", "model=b", "plan=true"]),
    ]


def test_a_model_of_the_hub_without_a_name_is_refused() -> None:
    with pytest.raises(UserError, match=r"add model\.source=NAME or model\.source=FOLDER"):
        configure(["model=hub"])
