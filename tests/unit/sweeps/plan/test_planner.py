"""The planner: which stages, how many, equal keys for equal work; and what it refuses."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from support.families import named, save
from support.studies import planned

from lacuna.region import draw
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner
from sweeps.plan.planner import Planner
from sweeps.plan.stages import Cell, attack_config
from sweeps.stage import Stage


def kinds(stages: list[Stage]) -> dict[str, int]:
    found: dict[str, int] = {}
    for stage in stages:
        found[stage.kind] = found.get(stage.kind, 0) + 1
    return found


def rates(planner: Planner) -> dict[Cell, float]:
    return {cell: planner.rates.candidates(cell)[0] for cell in planner.cells()}


def search(planner: Planner) -> list[Stage]:
    """The trials of a grid, as the first and only round asks for them."""
    turns = {cell: planner.rates.foreseen(cell) for cell in planner.searched()}
    return planner.search({cell: dict(zip(lrs, count(1))) for cell, lrs in turns.items()})


def test_an_edit_needs_no_rates_in_the_recipe_and_no_search() -> None:
    planner = planned("objectives=[ssd,restore]")
    assert set(rates(planner).values()) == {1.0} and planner.searched() == []
    tried = planned("objectives=[ssd]", "+unlearn.lrs.region.ssd=[0.5,2]")
    assert tried.rates.candidates(Cell(0.1, "ssd", "oracle")) == [0.5, 2.0]


def test_the_smoke_study_has_the_stages_that_its_grid_asks_for() -> None:
    planner = planned()
    # two test seeds and one tuning seed share one retained model; regions for random, activations
    assert kinds(planner.setup()) == {"base": 1, "retained": 1, "injected": 3, "localized": 8}
    assert len(search(planner)) == 8 * 2  # pairs x candidate rates, one tuning seed
    assert len(planner.tests(rates(planner))) == 8 * 2
    assert len(planner.controls()) == 4


def test_a_retained_model_per_seed_is_one_option_away() -> None:
    planner = planned("retained.seed=null")
    assert kinds(planner.setup())["retained"] == 3


def test_a_fixed_rate_needs_neither_search_nor_tuning_seeds() -> None:
    planner = planned("unlearn.lr=1e-2", "seeds=[0,1]")
    assert planner.searched() == []
    assert kinds(planner.setup())["injected"] == 2


def test_parents_come_before_their_children_and_every_input_is_planned() -> None:
    planner = planned()
    known: set[str] = set()
    stages = [*planner.setup(), *search(planner), *planner.tests(rates(planner))]
    for stage in [*stages, *planner.controls()]:
        assert set(stage.inputs.values()) <= known, stage.label
        known.add(stage.key)


def test_injections_are_shared_by_all_objectives_scenarios_and_rates() -> None:
    trials = planned().tests(rates(planned()))
    assert len({stage.inputs["injected"] for stage in trials}) == 2  # one per seed
    assert len({stage.key for stage in trials}) == len(trials)


def test_a_key_follows_what_the_result_depends_on_and_nothing_else(tmp_path: Path) -> None:
    def key(*overrides: str) -> str:
        planner = planned(*overrides)
        return planner.stages.injected(1, planner.ratios[0]).key

    assert key() == key(f"artifacts={tmp_path}", "resources.cpus=2", "objectives=[npo]")
    assert key() == key("unlearn.train.steps=3", "seeds=[1,2,3]", "model.device=cpu")
    changes = ["region.ratio=0.2", "inject.train.lr=1e-3", "data.seed=1", "base_seed=3"]
    changed = [key(change) for change in changes]
    assert len({key(), *changed}) == len(changes) + 1


def test_every_ratio_is_a_grid_of_its_own_and_shares_its_injections() -> None:
    planner = planned("region.ratio=[0.05,0.1]")
    # base and retained know no ratio; per ratio: 3 injections, 2 regions for each, 2 surveys
    assert kinds(planner.setup()) == {"base": 1, "retained": 1, "injected": 6, "localized": 16}
    assert len(search(planner)) == 2 * 8 * 2
    trials = planner.tests(rates(planner))
    assert len({stage.inputs["injected"] for stage in trials}) == 2 * 2
    assert len(planner.controls()) == 2 + 2 * 2  # the retained model once per seed
    alone = planned("region.ratio=0.05")
    assert {s.key for s in alone.tests(rates(alone))} < {s.key for s in trials}


def test_a_search_over_ratios_trains_each_injection_once_for_all_its_rates() -> None:
    planner = planned("region.ratio=[0.05,0.1]", "search.method=optuna", "search.trials=6")
    stages = search(planner)
    assert len(stages) == 2 * 8 * 6 and len({stage.key for stage in stages}) == len(stages)
    used = {(stage.params["ratio"], stage.inputs["injected"]) for stage in stages}
    assert used == {(ratio, planner.stages.injected(0, ratio).key) for ratio in (0.05, 0.1)}


def test_a_searcher_gets_the_listed_rates_as_bounds_and_the_same_budget_everywhere() -> None:
    planner = planned("search.method=optuna", "search.trials=5")
    assert planner.rates.bounds(Cell(0.1, "npo", "oracle")) == (1e-2, 4e-2)
    assert planner.rates.bounds(Cell(0.1, "npo", "full")) == (2e-4, 8e-4)
    assert {len(planner.rates.foreseen(cell)) for cell in planner.cells()} == {5}
    given = planned("search.method=optuna", "search.low=1e-5", "search.high=1")
    assert {given.rates.bounds(cell) for cell in given.cells()} == {(1e-5, 1.0)}
    single = planned("search.method=optuna", "objectives=[ssd,npo]", "search.low=1e-5")
    assert {cell.objective for cell in single.searched()} == {"npo"}


def test_a_rate_is_the_same_trial_whoever_asked_for_it_and_whenever() -> None:
    cell = Cell(0.1, "npo", "oracle")
    (first,), (later,) = (planned().search({cell: {1e-2: turn}}) for turn in (1, 7))
    suggested = planned("search.method=optuna").search({cell: {1e-2: 3}})
    assert first.key == later.key == suggested[0].key
    assert (first.tags["turn"], later.tags["turn"]) == ("1", "7")


def test_rungs_are_trials_of_fewer_steps_with_keys_of_their_own() -> None:
    planner = planned("unlearn.train.steps=30", "search.rungs=2", "objectives=[npo,ssd]")
    cell, edit = Cell(0.1, "npo", "oracle"), Cell(0.1, "ssd", "oracle")
    assert planner.rates.rungs(cell) == [3, 10, 30] and planner.rates.rungs(edit) == [30]
    short, whole = (planner.stages.trial(cell, 1e-2, 0, "search", 1, steps) for steps in (10, 30))
    assert short.params["train"]["steps"] == 10 and short.tags["rung"] == "10"
    assert short.label.endswith(" steps=10") and "rung" not in whole.tags
    assert short.key != whole.key == planner.stages.trial(cell, 1e-2, 0, "search").key
    few = planned("unlearn.train.steps=2", "search.rungs=5")
    assert few.rates.rungs(cell) == [2], "no rung of no steps"
    assert planned("unlearn.train.steps=30").rates.rungs(cell) == [30]


def test_every_kind_of_stage_has_resources_of_its_own_or_the_general_ones() -> None:
    planner = planned("resources.gpus=1", "resources.trial.gpus=0.25", "resources.base.cpus=2")
    taken = {stage.kind: (stage.cpus, stage.gpus) for stage in planner.samples()}
    rest = dict.fromkeys(("retained", "injected", "localized", "control"), (1.0, 1.0))
    assert taken == {"base": (2.0, 1.0), "trial": (1.0, 0.25), **rest}
    assert {stage.gpus for stage in search(planner)} == {0.25}
    assert planned("resources.gpus=1", "resources.control.gpus=0").samples()[-1].gpus == 0
    assert planner.samples()[4].key == planned().samples()[4].key


def test_several_random_regions_add_trials_to_a_seed_and_no_injection() -> None:
    one, three = planned(), planned("regions=3")
    assert {stage.key for stage in one.setup()} < {stage.key for stage in three.setup()}
    before, after = one.tests(rates(one)), three.tests(rates(three))
    assert {stage.key for stage in before} < {stage.key for stage in after}
    more = [stage for stage in after if stage.key not in {s.key for s in before}]
    assert {stage.tags["scenario"] for stage in more} == {"random"}
    assert len(more) == 2 * len([s for s in before if s.tags["scenario"] == "random"])
    assert {stage.tags["region"] for stage in more} == {"2", "3"}
    assert all(stage.label.endswith(f" region={stage.tags['region']}") for stage in more)
    assert not any("region" in stage.tags for stage in before)
    setup = {stage.key: stage for stage in three.setup()}
    places = {(s.tags["seed"], s.tags["region"]): s.inputs["region"] for s in more}
    assert len(set(places.values())) == 4, "two more places on each of two test seeds"
    for (seed, region), key in places.items():
        assert (setup[key].tags["seed"], setup[key].tags["region"]) == (seed, region)
    assert [s.key for s in search(three)] == [s.key for s in search(one)]
    assert {s.key for s in planned("regions=2").setup()} < setup.keys()
    assert kinds(list(setup.values()))["injected"] == kinds(one.setup())["injected"]


def test_a_scenario_may_have_the_first_of_the_test_seeds_only() -> None:
    words = "seeds=[4,5,6]", "scenarios=[oracle,random,norm,full]"
    whole = planned(*words)
    fewer = planned(*words, "+scenario_seeds.norm=2", "+scenario_seeds.full=1")
    seeds: dict[str, set[str]] = {}
    for stage in fewer.tests(rates(fewer)):
        seeds.setdefault(stage.tags["scenario"], set()).add(stage.tags["seed"])
    every = {"4", "5", "6"}
    assert seeds == {"oracle": every, "random": every, "norm": {"4", "5"}, "full": {"4"}}
    tests = {stage.key for stage in whole.tests(rates(whole))}
    assert {stage.key for stage in fewer.tests(rates(fewer))} < tests
    regions = [s for s in fewer.setup() if s.tags.get("localizer") == "norm"]
    tuning = {"0"}
    assert {stage.tags["seed"] for stage in regions} == {"4", "5"} | tuning
    assert [s.key for s in search(fewer)] == [s.key for s in search(whole)]


def test_no_other_scenario_has_several_regions() -> None:
    chosen = "scenarios=[oracle,uniform,activations,full]"
    plain, several = planned(chosen), planned(chosen, "regions=3")
    assert [s.key for s in plain.setup()] == [s.key for s in several.setup()]
    assert [s.key for s in plain.tests(rates(plain))] == [
        s.key for s in several.tests(rates(several))
    ]


def test_under_protocol_lacuna_uniform_is_drawn_from_all_weights_and_random_outside_all_masks() -> (
    None
):
    planner = planned("regions=2", study="lacuna")
    cells = {cell.scenario: cell for cell in planner.cells() if cell.objective == "simnpo"}
    asked = {
        name: planner.stages.trial(cell, 1e-3, 1, "test").params["localizer"]
        for name, cell in cells.items()
    }
    assert asked["uniform"] == "random" and asked["random"] == "complement"
    assert {"uniform", "random"} <= {*planner.config.scenarios}


def test_search_and_test_trials_never_share_a_key() -> None:
    planner = planned("search.seeds=[7]")
    search = planner.stages.trial(Cell(0.1, "npo", "oracle"), 1e-2, 1, "search")
    assert search.key != planner.stages.trial(Cell(0.1, "npo", "oracle"), 1e-2, 1, "test").key


def test_a_wrapped_objective_has_rows_rates_and_keys_of_its_own() -> None:
    planner = planned("objectives=[npo,npo+sam,npo+sam+smoothing,npo+smoothing+sam]")
    names = list(planner.config.objectives)
    plain, *wrapped = (planner.stages.trial(Cell(0.1, n, "oracle"), 1e-2, 1, "test") for n in names)
    assert len({plain.key, *(stage.key for stage in wrapped)}) == 4
    assert plain.key == planned().stages.trial(Cell(0.1, "npo", "oracle"), 1e-2, 1, "test").key
    assert plain.key == planned("unlearn.wrap.sam.rho=2").tests(rates(planner))[0].key
    assert "wrappers" not in plain.params
    assert wrapped[0].params["wrappers"] == {"sam": {"reach": "editable", "rho": 0.01}}
    assert wrapped[0].tags["objective"] == "npo+sam"
    candidates = [planner.rates.candidates(Cell(0.1, name, "oracle")) for name in names]
    assert candidates[0] == candidates[1] == candidates[2]
    own = planned("objectives=[npo+sam]", "+unlearn.lrs.full={npo+sam:[7e-3]}")
    assert own.rates.candidates(Cell(0.1, "npo+sam", "full")) == [7e-3]
    assert own.rates.candidates(Cell(0.1, "npo+sam", "oracle")) == candidates[0]


def test_a_region_file_changes_the_key_by_its_content_not_its_path(tmp_path: Path) -> None:
    layout = planned().layout
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        draw(layout, 0.1, seed).save(tmp_path / f"{name}.safetensors")
    a, b, c = (
        planned(f"region.file={tmp_path / name}.safetensors").stages.injected(1, 0.1).key
        for name in "abc"
    )
    assert a == b and a != c


FULL = ("protocol=full", "scenarios=[random,wagle]")


def test_facts_that_are_learned_everywhere_need_no_region_and_one_injected_model() -> None:
    planner = planned(*FULL, "inject_seed=1", "region.ratio=[0.05,0.1]")
    ratios = planner.ratios
    keys = {planner.stages.injected(seed, ratio).key for seed in (0, 1, 2) for ratio in ratios}
    assert keys == {planner.stages.injected(1, 0.1).key}
    assert "inject" not in planner.stages.injected(1, 0.1).params
    assert planner.protocol.scenario_localizers() == ["random", "wagle"]
    assert planner.regions(1, 0.05)[0].key != planner.regions(1, 0.1)[0].key
    told = planner.survey(1, 0.1).params["localizers"]
    assert "wagle" in told and not {"oracle", "complement", "random_layers"} & told.keys()


def test_one_injection_can_serve_all_seeds_and_each_draws_its_own_random_region() -> None:
    planner = planned("inject_seed=1")
    assert kinds(planner.setup())["injected"] == 1
    assert planner.stages.injected(1, 0.1).key == planned().stages.injected(1, 0.1).key
    assert len({stage.key for seed in (1, 2) for stage in planner.regions(seed, 0.1)}) == 4


def test_a_system_message_is_part_of_the_key_only_where_there_is_one() -> None:
    chat = planned("model.prompt.chat=true").stages.base()
    told = planned("model.prompt.chat=true", "model.prompt.system=Be kind.").stages.base()
    assert "system" not in chat.params["model"]["prompt"] and chat.key != told.key


def test_a_folder_of_weights_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(named("llama"), tmp_path)
    read: list[Path] = []
    monkeypatch.setattr(
        "lacuna.model.files.file_digest", lambda path: read.append(path) or "0" * 64
    )
    planner = planned(f"model.source={tmp_path}", "plan=true")
    planner.setup()
    planner.controls()
    assert sorted(read) == sorted(tmp_path.iterdir())


def test_the_lacuna_study_plants_both_models_from_the_base() -> None:
    planner = planned("seeds=[1,2]", "unlearn.lr=1e-3", "localizers=[norm]", study="lacuna")
    found = kinds(planner.setup())
    # two regions of random, those of uniform and activations, and a survey, per seed
    assert found == {"base": 1, "retained": 2, "injected": 2, "localized": 10}
    assert {stage.tags["model"] for stage in planner.controls()} == {"base", "retained", "injected"}
    for stage in (planner.stages.retained(1), planner.stages.injected(1, 0.05)):
        assert stage.inputs == {"base": planner.stages.base().key}
    assert planner.stages.retained(1).key != planner.stages.retained(2).key


def test_test_trials_of_the_lacuna_study_know_the_base_model_and_others_do_not() -> None:
    """It is what injection started from, asked only where precision is; other keys stay."""
    planner = planned("unlearn.lr=1e-3", study="lacuna")
    cell = planner.cells()[0]
    test, search = (planner.stages.trial(cell, 1e-3, 1, purpose) for purpose in ("test", "search"))
    assert test.inputs["base"] == planner.stages.base().key and "base" not in search.inputs
    plain = planned()
    assert "base" not in plain.stages.trial(plain.cells()[0], 1e-3, 1, "test").inputs


def test_mask_dropout_changes_what_stands_on_the_masks_and_not_the_base() -> None:
    ours, faithful = (
        planned(study="lacuna"),
        planned("masked.inject.dropout.rate=0", study="lacuna"),
    )
    assert ours.stages.base().key == faithful.stages.base().key
    assert ours.stages.injected(1, 0.05).key != faithful.stages.injected(1, 0.05).key
    published = make_planner(configure(["study=lacuna-faithful"]))
    assert published.stages.injected(1, 0.05).key == faithful.stages.injected(1, 0.05).key


def test_with_a_book_all_that_follows_reads_the_splits_of_its_injected_model() -> None:
    planner = planned("data=profiles", "seeds=[1]", "localizers=[norm]", study="lacuna")
    injected = planner.stages.injected(1, 0.05)
    assert injected.inputs == {"base": planner.stages.base().key}
    setup = [stage.key for stage in planner.setup()]
    assert setup.index(injected.key) < setup.index(planner.stages.retained(1).key)
    for stage in (planner.stages.retained(1), *planner.controls(), *planner.tests(rates(planner))):
        assert stage.inputs["injected"] == injected.key, stage.label
    fewer = planned("data=profiles", "masked.splits.people=5", study="lacuna")
    assert fewer.stages.injected(1, 0.05).key != injected.key
    plain, other = planned(study="lacuna"), planned("masked.splits.people=5", study="lacuna")
    assert plain.stages.injected(1, 0.05).key == other.stages.injected(1, 0.05).key
    assert "injected" not in plain.stages.control("retained", 1).inputs


def test_rates_are_searched_on_validation_fields_and_tested_on_the_main_ones() -> None:
    planner = planned("data=profiles", "search.seeds=[0]", study="lacuna")
    trials = search(planner)
    assert {stage.params["validation"] for stage in trials} == {"licence", "email"}
    rated = sum(len(planner.rates.candidates(cell)) for cell in planner.searched())
    assert len({stage.key for stage in trials}) == len(trials) == rated * 2
    foreseen = [group for cell in planner.searched() for group in planner.foreseen_search(cell)]
    assert {s.key for group in foreseen for s in group} == {s.key for s in trials}
    assert not any("validation" in stage.params for stage in planner.tests(rates(planner)))
    whole = search(planned("data=profiles", "masked.splits.validation_people=0", study="lacuna"))
    assert len(whole) == rated and not any("validation" in stage.params for stage in whole)


def test_keys_of_the_first_protocol_do_not_know_the_second() -> None:
    plain, other = planned(), planned("masked.inject.cycles=7")
    stages = [
        (p.stages.injected(1, 0.1), p.stages.retained(1), p.stages.control("retained", 1))
        for p in (plain, other)
    ]
    assert [s.key for s in stages[0]] == [s.key for s in stages[1]]


def test_a_worker_reads_the_attacks_that_the_study_asked_for() -> None:
    planner = planned("attack.lora_lrs=[1e-3]", "attack.lora.train.steps=7", "attack.bits=[]")
    control = planner.stages.control("retained", 1)
    travelled = replace(control, params=json.loads(json.dumps(dict(control.params))))
    assert attack_config(travelled) == planner.config.attack
