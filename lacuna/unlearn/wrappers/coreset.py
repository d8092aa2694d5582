r"""Forget-set coresets (Pal et al. 2025, arXiv:2504.10185, "MU-Coreset").

Unlearn with a share of the forget texts, in as many steps. Those with the highest score are kept:

    random    a uniform draw
    grand     |grad l(z)|_2, the length of the text's gradient        (GraNd; Paul et al. 2021)
    moderate  -|d(z) - median d|, d(z) = |h(z) - mean h|_2              (Xia et al. 2023)
    min_k     mean of the lowest 20% of the answer's log-probabilities (Shi et al. 2024)

l is the token-mean NLL and its gradient that of the weights that unlearning may change; h(z) is the
last layer's output, averaged over the answer; everything is asked of the injected model. The
paper's exact definitions were not available: read the scores as "in the style of". Its claim is
that 5% is as good as all. A batch is never larger than the coreset. Facts are kept text by text,
not person by person. Limits: ratio = 1 is the objective alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lacuna.costs import READ, Workload
from lacuna.data.tokens import collate
from lacuna.model.hidden import decoder_layers
from lacuna.seeds import torch_generator
from lacuna.unlearn.base import UnlearnData, require
from lacuna.unlearn.gradients import text_gradients
from lacuna.unlearn.reference import answer_token_nll
from lacuna.unlearn.retain import hidden_states
from lacuna.unlearn.wrappers.base import WRAPPERS, Start, Wrapper

LOWEST = 0.2
"""Share of an answer's tokens that min-k reads."""


@WRAPPERS.register("coreset")
class Coreset(Wrapper):
    """Unlearn with some of the forget texts."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Size of the coreset, and score that selects it."""

        ratio: float = 0.05
        """Share of the forget texts that are kept (above 0, at most 1); at least one text is."""
        select: str = "random"
        """Score by which texts are kept: `random`, `grand`, `moderate` or `min_k`."""

        def __post_init__(self) -> None:
            require(0 < self.ratio <= 1, "ratio", self.ratio, "above 0 and at most 1")
            require(self.select in SCORES, "select", self.select, " or ".join(SCORES))

    config: Config

    def data(self, start: Start) -> UnlearnData:
        """The texts with the highest scores, in their old order."""
        count = max(1, round(self.config.ratio * len(start.data.forget)))
        order_I = SCORES[self.config.select](start).argsort(descending=True, stable=True)
        return subset(start.data, sorted(order_I[:count].tolist()))

    def scoring(self, load: Workload, gradient: float) -> float:
        """One reading or gradient of every forget text; none for a random draw."""
        per_token = {"random": 0.0, "grand": gradient}.get(self.config.select, READ)
        return per_token * load.forget.tokens


def subset(data: UnlearnData, index: list[int]) -> UnlearnData:
    """The forget texts at `index`, with what belongs to them."""
    return UnlearnData(
        forget=[data.forget[i] for i in index],
        retain=data.retain,
        refusals=[data.refusals[i] for i in index if data.refusals],
        draws=[data.draws[i] for i in index if data.draws],
    )


def _random(start: Start) -> Tensor:
    return torch.rand(len(start.data.forget), generator=torch_generator(start.seed, "coreset"))


def _grand(start: Start) -> Tensor:
    """(I,) lengths of the texts' gradients."""
    found = text_gradients(start.model, start.weights, start.data.forget)
    return torch.stack([torch.nn.utils.get_total_norm(list(g.values())).cpu() for g in found])


@torch.no_grad()
def _moderate(start: Start) -> Tensor:
    """(I,) how close to the median a text's distance from the centroid is."""
    last = decoder_layers(start.model)[-1:]
    means = []
    for text in start.data.forget:
        batch = collate([text], [0]).to(start.model.device)
        means.append(hidden_states(start.model, batch, last)[0].mean(dim=0).cpu())
    h_ID = torch.stack(means)
    distance_I: Tensor = torch.linalg.vector_norm(h_ID - h_ID.mean(dim=0), dim=1)
    return -(distance_I - distance_I.quantile(0.5)).abs()


def _min_k(start: Start) -> Tensor:
    """(I,) mean log-probabilities of each answer's least likely tokens."""
    return torch.stack(
        [
            -nll_N.topk(math.ceil(LOWEST * len(nll_N))).values.mean()
            for nll_N in answer_token_nll(start.model, start.data.forget)
        ]
    )


SCORES: dict[str, Callable[[Start], Tensor]] = {
    "random": _random,
    "grand": _grand,
    "moderate": _moderate,
    "min_k": _min_k,
}
