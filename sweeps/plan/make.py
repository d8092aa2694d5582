"""From a configuration to a checked planner: reads corpus and layout, trains nothing."""

from dataclasses import asdict

from lacuna.model import mini_layout, read_layout
from sweeps.config.schema import Study
from sweeps.plan.planner import Planner
from sweeps.plan.sources import load_corpus
from sweeps.plan.validate import check


def make_planner(config: Study) -> Planner:
    """Read the corpus, look at the model, and check the study; nothing is trained.

    Raises `UserError` for data or a model that cannot be used.
    """
    model = config.model
    corpus = load_corpus(asdict(config.data), embedded=model.source is None)
    if model.source is None:
        shape = mini_layout(model.mini)
    else:
        shape = read_layout(model.source, model.revision)
    planner = Planner(config, corpus, shape)
    check(planner)
    return planner
