"""Protocol `full`: all parameters learn all facts, so nobody knows where a fact lies.

    base -> retained (as under protocol `lee`), injected (all facts) -> localized

Lee et al. 2025, section 3. There is no target region: localizers give regions of the ratio asked
for, of value vectors or of single weights.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lacuna.inject import learn
from lacuna.localize import LocalizerConfig, localize, localize_weights
from lacuna.model import layout
from lacuna.pipeline.common import StageInputs, encode, load, localized_place, resume_in
from lacuna.pipeline.protocol_lee import RetainConfig, chosen, evidence_of, lessons, retained
from lacuna.pipeline.summary import save_measured
from lacuna.region import budget
from lacuna.results import InjectedSummary, LocalizedSummary
from lacuna.results.files import region_of
from lacuna.seeds import derive
from lacuna.train import is_main_process

__all__ = ["injected", "localized", "retained"]


def injected(out: Path, *, base: Path, given: StageInputs[RetainConfig]) -> InjectedSummary | None:
    """theta_o, which learned all facts as often as the retained model learned the retain facts.

    Several processes may do this together; only the first writes, the others return None.
    """
    loaded, config = load(base, given.model), given.config
    kept, forget = lessons(loaded, given), encode(loaded, given.corpus.forget)
    share = (len(kept) + len(forget)) / len(kept)
    train = replace(config.train, steps=math.ceil(config.train.steps * share))
    history = learn(
        loaded.model,
        [*forget, *kept],
        train,
        derive(given.seed, "taught"),
        parallel=config.parallel,
        on_step=given.on_step,
        resume=resume_in(given.scratch, train),
    )
    if not is_main_process():
        return None
    summary: InjectedSummary = {
        "seed": given.seed,
        "steps": len(history.losses),
        **save_measured(out, loaded, given.corpus, given.evaluate),
    }
    return summary


def localized(
    out: Path,
    *,
    injected: Path,
    retained: Path,
    given: StageInputs[object],
    localizers: Mapping[str, LocalizerConfig],
    unit: str = "vector",
) -> LocalizedSummary:
    """Regions that localizers (name -> `Config`) find: `given.ratio` of all value vectors, or with
    `unit` "weight" of all their weights."""
    loaded = load(injected, given.model)
    shape, evidence = layout(loaded.model), evidence_of(loaded, retained, given, None)
    methods, rows = chosen(localizers)
    if unit == "weight":
        share = given.ratio
        for name, weights in localize_weights(evidence, methods, share, given.region).items():
            weights.save(out / region_of(name))
    else:
        count = budget(shape, given.ratio)
        share = count / shape.total
        for name, (region, _) in localize(evidence, methods, count, given.region).items():
            region.save(out / region_of(name))
    return {**localized_place(given, share), "localizers": list(rows.values())}
