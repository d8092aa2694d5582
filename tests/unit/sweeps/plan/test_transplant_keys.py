"""`evaluate.transplant`: which stages it is a part of, and where it cannot work."""

import pytest
from support.studies import planned

from lacuna.errors import UserError
from lacuna.evaluate import EvaluateConfig
from sweeps.plan.planner import Planner
from sweeps.plan.protocols import evaluate_params
from sweeps.stage import Stage

ON = "evaluate.transplant=true"


def by_label(planner: Planner) -> dict[str, Stage]:
    """All stages but the survey, and the survey."""
    cells = planner.cells()
    tests = planner.tests({cell: planner.rates.candidates(cell)[0] for cell in cells})
    search = planner.search({cell: {planner.rates.candidates(cell)[0]: 1} for cell in cells})
    setup = [stage for stage in planner.setup() if "+" not in stage.tags.get("localizer", "")]
    found = [*setup, *search, *tests, *planner.controls()]
    return {stage.label: stage for stage in found} | {"survey": planner.survey(1, 0.1)}


def test_only_stages_that_exchange_regions_have_another_key() -> None:
    small = ["objectives=[npo]", "scenarios=[oracle,random]", "seeds=[1]"]
    without, asked = by_label(planned(*small)), by_label(planned(*small, ON))
    moved = {label for label in without if without[label].key != asked[label].key}
    assert {label.split(" seed=")[0].split(" ratio")[0] for label in moved} == {
        "test npo oracle",
        "test npo random",
        "control",
        "survey",
    }
    assert [label for label in moved if label.startswith("control")] == [
        "control seed=1 model=injected ratio=0.1"
    ]
    for label, stage in without.items():
        params = stage.params.get("evaluate", {})
        assert isinstance(params, dict) and "transplant" not in params, label


def test_the_survey_measures_the_truth_and_a_blind_draw_beside_what_it_was_asked() -> None:
    survey = planned("localizers=[norm]", ON).survey(1, 0.1)
    assert survey.tags["localizer"] == "norm+oracle+random"
    assert survey.param("evaluate", dict)["transplant"] is True
    plain = planned("localizers=[norm]").survey(1, 0.1)
    assert plain.tags["localizer"] == "norm" and "evaluate" not in plain.params


def test_parameters_have_it_where_it_is_made_and_asked_for() -> None:
    on, off = EvaluateConfig(transplant=True), EvaluateConfig()
    assert evaluate_params(on, True)["transplant"] is True
    held = (evaluate_params(on), evaluate_params(off, True), evaluate_params(off))
    assert all("transplant" not in params for params in held)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["protocol=full", "scenarios=[random,full]"], "protocol=full has none"),
        (["region.ratio=0.6", "scenarios=[oracle]"], "leaves no room for as large a region"),
    ],
)
def test_it_is_refused_where_there_is_no_target_or_no_room(words: list[str], text: str) -> None:
    with pytest.raises(UserError, match=text):
        planned(*words, "objectives=[npo]", ON)


def test_masks_of_more_than_half_of_the_weights_leave_no_room() -> None:
    words = [
        "region.ratio=0.11",
        "scenarios=[oracle]",
        "objectives=[npo]",
        "masked.masks.forget_groups=[0,1,2,4]",
    ]
    planned(*words, study="lacuna")
    with pytest.raises(UserError, match=r"a target of 0\.\d+ of the weights leaves no room"):
        planned(*words, ON, study="lacuna")


def test_the_study_shares_what_comes_before_its_tests_with_mini() -> None:
    def keys(study: str) -> dict[str, str]:
        planner = planned("scenarios=[oracle,random]", study=study)
        cell = next(cell for cell in planner.cells() if cell[1:] == ("npo", "oracle"))
        rates = {cell: {planner.rates.candidates(cell)[0]: 1}}
        stages = [s for s in planner.setup() if "+" not in s.tags.get("localizer", "")]
        return {stage.label: stage.key for stage in [*stages, *planner.search(rates)]}

    mini, transplant = keys("mini"), keys("transplant")
    assert transplant and transplant.items() <= mini.items()
