"""What a study asks for that cannot work is refused, in one line, before anything trains."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.studies import planned
from transformers import LlamaConfig, MambaConfig

from lacuna.errors import UserError
from lacuna.model import read_layout
from lacuna.region import draw
from sweeps.config.compose import configure

FULL = ("protocol=full", "scenarios=[random,wagle]")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("region.ratio=0", "region.ratio=0.0: must be above 0 and at most 1"),
        ("region.ratio=0.6", "region.ratio=0.6 leaves no room for as large a region outside it"),
        ("region.ratio=many", "region.ratio=many: give a number, or a list such as [0.05,0.1]"),
        ("region.ratio=[0.1,0.1]", "region.ratio=[0.1, 0.1]: give at least one value, each once"),
        ("region.ratio=[0.1,0.6]", "region.ratio=0.6 leaves no room"),
        ("region.file=/nonexistent", "/nonexistent does not exist"),
        ("regions=0", "regions=0: must be 1 to 1,000"),
        ("regions=9", "regions=9: 8 random regions of this size fit beside each other: give a"),
        ("regions=2 region.ratio=[0.1,0.4]", "regions=2: 1 random region of this size fit"),
        ("regions=0 scenarios=[oracle]", "regions=0: must be 1"),
        ("seeds=[0,1]", "seeds [0] are test seeds and tuning seeds"),
        ("seeds=[1,1]", "seeds=[1, 1]: give at least one value, each once"),
        ("objectives=[npoo]", "unknown objective 'npoo': did you mean 'npo'"),
        ("objectives=[npo+sma]", "unknown wrapper 'sma': did you mean 'sam'"),
        ("objectives=[npoo+sam]", "unknown objective 'npoo': did you mean 'npo'"),
        ("objectives=[npo+sam+sam]", "objective 'npo+sam+sam': name each wrapper once"),
        ("objectives=[ssd+sam]", "objective 'ssd+sam': ssd is an edit, which takes no wrapper"),
        ("scenarios=[oracel]", "unknown scenario 'oracel': did you mean 'oracle'?"),
        ("localizers=[memflx]", "unknown localizer 'memflx': did you mean 'memflex'?"),
        ("unlearn.lrs.region.npo=[]", "no learning rates for objective 'npo' in scenario 'oracle'"),
        ("unlearn.lr=-1", "unlearn.lr=-1: must be 0 to 3.40282e+38"),
        ("unlearn.lrs.region.npo=[x]", "learning rate 'x': must be a finite number"),
        ("model.dtype=float17", "model.dtype=float17: did you mean"),
        ("model.device=tpu", "model.device=tpu: use auto, cpu or cuda"),
        ("model.device=cuda", "model.device=cuda, but base stages are given no GPU: set resources"),
        ("model.device=cuda resources.gpus=1 resources.control.gpus=0", "control stages are given"),
        ("model.source=/nonexistent", "cannot load model '/nonexistent'"),
        ("search.fs_low=1", "search.fs_low=1 and search.fs_high=1 leave no window"),
        ("significance.permutations=0", "significance.permutations=0: must be 1 to"),
        ("engine=lokal", "engine=lokal: did you mean 'local'?"),
        ("engine=local address=a:1", "address=a:1: engine=local runs in this process"),
        ("inject.gauge=retain", "inject.gauge='retain': choose one of none, retained, random"),
        (
            "inject.gauge=random evaluate.transplant=true",
            "exchanges value vectors alone: leave one",
        ),
        (
            "protocol=full scenarios=[uniform] evaluate.rescalings=2",
            "protocol full plants into no value vectors of",
        ),
        ("search.method=optunaa", "search.method=optunaa: did you mean 'optuna'?"),
        ("search.trials=0", "search.trials=0: must be 1 to 1,000"),
        ("search.round=0", "search.round=0: must be 1 to 1,000"),
        ("search.rungs=-1", "search.rungs=-1: must be 0 to 100"),
        ("search.eta=1", "search.eta=1: must be 2 to 1,000"),
        ("search.method=optuna search.low=0", "rates from 0 to 0.016 for objective 'wga'"),
        ("search.method=optuna search.low=1", "search.low and search.high need 0 < low < high"),
        ("search.method=optuna search.high=inf", "search.high=inf: must be a finite number"),
        ("+unlearn.lrs.oracle.npo=[1,2,3]", "unequal numbers of rates to try (3 in oracle, 2 in"),
        ("resources.cpus=0", "resources.cpus=0: must be above 0"),
        ("resources.trial.cpus=-1", "resources.trial.cpus=-1: must be 0 to 100,000"),
        ("resources.gpus=-1", "resources.gpus=-1: must be 0 to 100,000"),
        ("resources.gpus=1.5", "resources.gpus=1.5: give a whole number of GPUs"),
        ("resources.gpus=nan", "resources.gpus=nan: must be a finite number"),
        ("resources.injected.gpus=inf", "resources.injected.gpus=inf: must be a finite number"),
        ("resources.trial.gpus=1e-5", "resources.trial.gpus=1e-05: give a whole number of GPUs"),
        ("evaluate.membership=true data.num_holdout=0", "data 'synthetic' has no holdout"),
        ("data.num_forget=1", "relearning needs at least 2 people to forget, the data has 1"),
        (
            "data.num_forget=1 attack.relearn_lrs=[] attack.lora_lrs=[1e-3]",
            "or leave out lora with attack.lora_lrs=[]",
        ),
        ("attack.matched=1.5", "attack.matched=1.5"),
        ("attack.matched=[0.3,0.3]", "each once"),
        ("+scenario_seeds.full=0", "scenario_seeds.full=0"),
        ("+scenario_seeds.oracle=1", "which claims compare, have them all"),
        ("+scenario_seeds.activation=1", "did you mean 'activations'"),
        ("unlearn.train.save_every=2", "a trial is resumed only where several devices unlearn"),
        ("study=mini data=tofu data.path=/nonexistent", "data folder /nonexistent does not exist"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_trains(overrides: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        planned(*overrides.split())
    assert "\n" not in str(caught.value)


def test_a_large_region_is_fine_where_nothing_has_to_fit_outside_it() -> None:
    planner = planned("region.ratio=0.6", "scenarios=[oracle,full]")
    assert {s.params["ratio"] for s in planner.setup() if s.kind == "injected"} == {0.6}


def test_one_person_to_forget_is_fine_without_relearning() -> None:
    assert planned("data.num_forget=1", "attack.relearn_lrs=[]").controls()


def facts(path: Path, *rows: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"study=mini data=jsonl data.path={path} unlearn.lr=1e-2"


def test_a_broken_line_of_a_data_file_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    overrides = facts(path, {"split": "forget", "question": "q", "answer": "a"})
    with path.open("a") as stream:
        stream.write('{"question": \n')
    with pytest.raises(UserError, match=re.escape(f"{path}:2: not valid JSON")):
        planned(*overrides.split())


def test_data_with_nothing_to_forget_is_refused(tmp_path: Path) -> None:
    row = {"split": "retain", "question": "q", "answer": "a"}
    overrides = facts(tmp_path / "facts.jsonl", row)
    with pytest.raises(UserError, match="data 'facts' has no forget examples"):
        planned(*overrides.split())


def test_a_model_without_known_mlps_is_refused_with_the_names_it_has(tmp_path: Path) -> None:
    MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=50).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"MambaForCausalLM is not supported: .*layers.0.mixer"):
        planned(f"model.source={tmp_path}", "model.attention=auto", "plan=true")


def test_a_bare_configuration_can_be_planned_with_and_not_run(tmp_path: Path) -> None:
    LlamaConfig(num_hidden_layers=2, vocab_size=50).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="config.json and no weights: .*plan=true"):
        planned(f"model.source={tmp_path}")
    found = planned(f"model.source={tmp_path}", "plan=true").preflights["model"]
    assert list(found.unchecked) == ["weights", "tokenizer"]


def test_a_region_of_another_model_is_refused_with_both_named(tmp_path: Path) -> None:
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 50}
    config = LlamaConfig(num_attention_heads=2, num_key_value_heads=2, **shape)
    config.save_pretrained(tmp_path / "llama")
    draw(read_layout(tmp_path / "llama"), 0.5, 1).save(tmp_path / "region.safetensors")
    with pytest.raises(UserError, match="region is for LlamaForCausalLM with 32 .* Olmo2"):
        planned(f"region.file={tmp_path / 'region.safetensors'}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["protocol=full"], "'oracle' needs a target region"),
        ([*FULL, "localizers=[complement]"], "'complement' needs a target region"),
        ([*FULL, "scenarios=[random,dose50]"], "scenario 'dose50' needs a target region"),
        ([*FULL, "region.unit=weight", "localizers=[norm]"], "'norm' scores whole value vectors"),
        (["region.unit=weight"], "use protocol=full, or region.unit=vector"),
        (["region.unit=rows"], "region.unit='rows': choose vector or weight"),
    ],
)
def test_what_has_no_target_region_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        planned(*overrides)


def test_a_protocol_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown protocol 'ful': did you mean 'full'"):
        planned("protocol=ful")
    with pytest.raises(UserError, match="inject.method is no key: protocol=full plants"):
        configure(["inject.method=full"])


def test_one_injected_model_for_all_seeds_is_refused_where_groups_differ_by_seed() -> None:
    with pytest.raises(UserError, match="inject_seed=7: under protocol lacuna every seed has"):
        planned("inject_seed=7", study="lacuna")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("masked.splits.people=16", r"people=16: only 15 people of the forget groups"),
        ("masked.splits.people=15", r"validation_people=3: only 0 people"),
        ("masked.splits.people=12", r"nobody with a memorised fact is left to relearn from"),
        ("masked.splits.forget_field=phone", r"the field 'phone', the data has birth_city, email"),
        ("masked.splits.min_prompts=4", r"memorised birth_city \(at least 4 prompts right\)"),
    ],
)
def test_splits_that_no_memory_could_fill_are_refused(asked: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        planned("data=profiles", asked, study="lacuna")
