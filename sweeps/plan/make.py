"""From a configuration to a checked planner: reads corpus and layout, trains nothing."""

from dataclasses import asdict
from pathlib import Path

from lacuna.data import Corpus
from lacuna.errors import UserError
from lacuna.model import Preflight, mini_layout, preflight, read_layout
from lacuna.model.fetch import MODELS, PACKED
from sweeps.config.schema import Study
from sweeps.plan.planner import Planner
from sweeps.plan.sources import load_corpus
from sweeps.plan.validate import check


def make_planner(config: Study) -> Planner:
    """Load the corpus, read the model's layout and check that the study can run.

    Raises `UserError` for data or a model that cannot be used.
    """
    model = config.model
    corpus = load_corpus(asdict(config.data), embedded=model.source is None)
    found: dict[str, Preflight] = {}
    if model.source is None:
        shape = mini_layout(model.mini)
    else:
        _require_fetched(model.source)
        found["model"] = _checked(config, model.source, model.revision, corpus)
        shape = read_layout(model.source, model.revision)
    planner = Planner(config, corpus, shape, found)
    check(planner)
    if config.checkpoint is not None and Path(config.checkpoint).is_dir():
        found["checkpoint"] = _checked(config, config.checkpoint, None, corpus)
        if read_layout(config.checkpoint) != shape:
            raise UserError(
                f"checkpoint={config.checkpoint} is another model than the study's "
                f"({shape.architecture}): give one that was trained from it"
            )
    return planner


def _require_fetched(source: str) -> None:
    """Raises `UserError` for a packed model that nobody has got yet."""
    place = Path(source)
    if place.parent.name == MODELS and place.name in PACKED and not place.is_dir():
        raise UserError(
            f"{place} does not exist: `lacuna model get {place.name} artifacts={place.parents[1]}` "
            f"gets the model"
        )


def _checked(config: Study, source: str, revision: str | None, corpus: Corpus) -> Preflight:
    """A model's preflight with all that the corpus asks; a bare config.json can be planned with,
    but not run."""
    sides = (corpus.forget, corpus.retain, corpus.holdout, *corpus.utility.values())
    found = preflight(
        source,
        revision,
        config.model.prompt,
        [item for side in sides for item in side],
        corpus.neutral,
        config.model.attention,
        finite=not config.plan,
    )
    if found.unchecked and Path(source).is_dir() and not config.plan:
        raise UserError(
            f"{source} has a config.json and no {found.unchecked[0]}: it can be planned with "
            f"(plan=true), a study needs the whole checkpoint"
        )
    return found
