"""Erased or hidden: a region's values exchanged between models, and the facts that go with them.

The share that a model with exchanged values knows of what injection brought:

    share = (ES - ES_floor) / (ES_ceiling - ES_floor)    mean forget ES; floor: retained, ceiling:
                                                         injected model

`transplant` exchanges the target region T of an unlearned model theta_u at alpha = 1:

    restored   theta_u with T of theta_o    high: all else still serves the facts, only T was in the
                                            way; low: what was changed outside T suppresses them
    stored     theta_r with T of theta_u    high: the facts still lie in T, hidden by changes
                                            elsewhere; low: erased there
    control    theta_u with C of theta_o    C: as many weights outside T, drawn by seed

Some of it is so by construction. What changed inside T alone is undone by restoring T: restored 1.
What changed outside T alone leaves T as it was: stored is the injected model's own share, which is
1 where T is all that injection changed (protocol `lee`). At the injected model all three are 1
there; at the retained model its own T brings nothing (stored 0), nor does C, where injection
changed nothing (control 0), and T of the injected model brings everything (restored 1).

`swaps` exchanges a located region R between injected and retained model:

    necessity    (ES_ceiling - ES(theta_o with R of theta_r)) / (ES_ceiling - ES_floor)
    sufficiency  (ES(theta_r with R of theta_o) - ES_floor) / (ES_ceiling - ES_floor)

Both are 1 of T itself where T is all that injection changed, and 0 of a region clear of it.
"""

from collections.abc import Mapping
from pathlib import Path

from lacuna.data import Corpus
from lacuna.evaluate import Evaluator
from lacuna.model import LoadedModel, layout
from lacuna.model_types import PreTrainedModel
from lacuna.pipeline.common import ModelConfig, StageInputs, load, target_of
from lacuna.region import Region, WeightRegion, draw_outside, draw_weights_outside
from lacuna.results import LocalizerRow, SwapRecord, TransplantRecord
from lacuna.seeds import derive
from lacuna.train import editable, swapped


def transplant(
    evaluator: Evaluator,
    model: PreTrainedModel,
    injected: Path,
    retained: Path,
    config: ModelConfig,
    seed: int,
) -> TransplantRecord | None:
    """The target region of `model` exchanged with the injected and the retained one, and put back.

    None where facts were learned by all parameters. Raises `UserError` where the target region
    leaves no room for as large a one outside it.
    """
    target = target_of(injected, layout(model))
    if target is None:
        return None
    place, elsewhere = editable(model, target), editable(model, outside(target, seed))
    planted = load(injected, config).model
    ceiling = evaluator.forget_es(planted)
    with swapped(place, place.read(planted)):
        restored = evaluator.forget_es(model)
    with swapped(elsewhere, elsewhere.read(planted)):
        control = evaluator.forget_es(model)
    del planted  # one other model in memory at a time
    before = load(retained, config).model
    floor = evaluator.forget_es(before)
    with swapped(editable(before, target), place.read()):
        stored = evaluator.forget_es(before)
    return {
        "own_es": evaluator.forget_es(model),
        "restored_es": restored,
        "control_es": control,
        "stored_es": stored,
        "floor_es": floor,
        "ceiling_es": ceiling,
    }


def outside(target: Region | WeightRegion, seed: int) -> Region | WeightRegion:
    """As large a region, drawn by seed outside the target.

    Of single weights as many of every tensor. Another draw than that of the scenario `random`.
    """
    own = derive(seed, "transplant")
    if isinstance(target, WeightRegion):
        return draw_weights_outside(target, target.complement(), own)
    return draw_outside(target, own)


def swaps(
    evaluator: Evaluator,
    injected: PreTrainedModel,
    retained: PreTrainedModel,
    regions: Mapping[str, Region | WeightRegion],
) -> dict[str, SwapRecord]:
    """Each region exchanged between the two models, which are as before afterwards."""
    floor, ceiling = evaluator.forget_es(retained), evaluator.forget_es(injected)
    found: dict[str, SwapRecord] = {}
    for name, region in regions.items():
        there, here = editable(injected, region), editable(retained, region)
        planted, before = there.read(), here.read()
        with swapped(there, before):
            without = evaluator.forget_es(injected)
        with swapped(here, planted):
            alone = evaluator.forget_es(retained)
        found[name] = {
            "without_es": without,
            "alone_es": alone,
            "floor_es": floor,
            "ceiling_es": ceiling,
        }
    return found


def add_swaps(
    rows: Mapping[str, LocalizerRow],
    regions: Mapping[str, Region | WeightRegion],
    loaded: LoadedModel,
    retained: Path,
    corpus: Corpus,
    given: StageInputs[object],
) -> None:
    """Exchange each located region with the retained model's, where the study asks for it."""
    if not given.evaluate.transplant:
        return
    evaluator = Evaluator(loaded, corpus, given.evaluate)
    before = load(retained, given.model).model
    for name, record in swaps(evaluator, loaded.model, before, regions).items():
        rows[name]["swap"] = record
