"""From a configuration to a checked planner: reads corpus and layout, trains nothing."""

from typing import Any

from omegaconf import DictConfig, OmegaConf

from lacuna.model import MiniConfig, mini_layout, read_layout
from sweeps.config.schema import build
from sweeps.plan.corpus import load_corpus
from sweeps.plan.planner import Planner
from sweeps.plan.validate import check


def make_planner(config: DictConfig) -> Planner:
    """Read the corpus, look at the model, and check the study; nothing is trained.

    Raises `UserError` for data or a model that cannot be used.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True)
    source = config.model.source
    corpus = load_corpus(plain["data"], embedded=source is None)
    if source is None:
        shape = mini_layout(build(MiniConfig, plain["model"]["mini"]))
    else:
        shape = read_layout(source, config.model.revision)
    planner = Planner(config, corpus, shape)
    check(planner)
    return planner
