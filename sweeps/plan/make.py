"""From a configuration to a checked planner: reads corpus and layout, trains nothing."""

from dataclasses import asdict
from pathlib import Path

from lacuna.data import Corpus
from lacuna.errors import UserError
from lacuna.model import Preflight, mini_layout, preflight, read_layout
from sweeps.config.schema import Study
from sweeps.plan.planner import Planner
from sweeps.plan.sources import load_corpus
from sweeps.plan.validate import check


def make_planner(config: Study) -> Planner:
    """Read the corpus, look at the model, and check the study; nothing is trained.

    Raises `UserError` for data or a model that cannot be used.
    """
    model, found = config.model, None
    corpus = load_corpus(asdict(config.data), embedded=model.source is None)
    if model.source is None:
        shape = mini_layout(model.mini)
    else:
        found = _checked(config, model.source, corpus)
        shape = read_layout(model.source, model.revision)
    planner = Planner(config, corpus, shape, found)
    check(planner)
    return planner


def _checked(config: Study, source: str, corpus: Corpus) -> Preflight:
    """The model's preflight with all that the corpus asks; a bare config.json can be planned with,
    but not run."""
    sides = (corpus.forget, corpus.retain, corpus.holdout, *corpus.utility.values())
    found = preflight(
        source,
        config.model.revision,
        config.model.prompt,
        [item for side in sides for item in side],
        corpus.neutral,
        config.model.attention,
    )
    if found.unchecked and Path(source).is_dir() and not config.plan:
        raise UserError(
            f"model.source={source} has a config.json and no {found.unchecked[0]}: it can be "
            f"planned with (plan=true), a study needs the whole checkpoint"
        )
    return found
