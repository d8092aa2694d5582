r"""Sharp facts: brain damage where the loss is sharpest (in the style of CUPID, arXiv:2602.21773).

    w_i = L(theta + eta g_i / |g_i|; x_i) - L(theta; x_i),    g_i = grad L(theta; x_i)
    s_j = 1/2 theta_j^2 mean_i g_ij^2                      i over the `share` sharpest texts

A vector has the mean of its weights. L is a text's token-mean NLL, theta the output matrices. CUPID
holds that a sharp text is known for itself and a flat one by a shortcut, and ranks weights by the
first kind; its eta is not public. Limits: w_i = eta |g_i| + eta^2 / 2 times the curvature along g_i
for a quadratic loss; share = 1 is optimal brain damage with the Fisher's diagonal; a fact told with
certainty has no gradient.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.costs import READ, REGION, Workload
from lacuna.data.tokens import Batch, Encoded, collate
from lacuna.errors import UserError
from lacuna.localize.base import LOCALIZERS, Localizer, LocalizerConfig, Scores
from lacuna.localize.evidence import Evidence, replaced, taken, weight_gradients
from lacuna.model.forward import answers
from lacuna.model.value import value_modules
from lacuna.train import fisher, mean_nll


@LOCALIZERS.register("obd_sharp")
class SharpDamage(Localizer):
    """Weights that matter to the facts that are known for themselves."""

    surveyed: ClassVar[bool] = False

    @dataclass(frozen=True, kw_only=True)
    class Config(LocalizerConfig):
        """Which texts count."""

        share: float = 0.05
        """Share of the forget texts that is sharp (above 0, at most 1); at least one text is."""
        eta: float = 0.01
        """Length of the step up a text's own slope (above 0)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 0 < self.share <= 1:
                raise UserError(f"obd_sharp: share={self.share}: must be above 0 and at most 1")
            if not 0 < self.eta < float("inf"):
                raise UserError(f"obd_sharp: eta={self.eta}: must be finite and above 0")

    config: Config

    def scores(self, evidence: Evidence) -> Scores:
        """Mean of the weights' scores."""
        return {name: score.mean(dim=0) for name, score in self.weight_scores(evidence).items()}

    def weight_scores(self, evidence: Evidence) -> Scores:
        """1/2 theta^2 F."""
        omega_I = sharpness(evidence, self.config.eta)
        count = max(1, round(self.config.share * len(omega_I)))
        chosen = omega_I.argsort(descending=True, stable=True)[:count].tolist()
        modules = value_modules(evidence.model)

        def squares() -> Iterator[tuple[str, Tensor]]:
            return ((name, taken(m.weight).square()) for name, m in modules.items())

        with weight_gradients(modules):
            found = fisher(evidence.model, [evidence.forget[i] for i in sorted(chosen)], squares)
        return {
            name: (evidence.weights[name].float().square() * value / 2).cpu()
            for name, value in found.items()
        }

    def work(self, load: Workload) -> float:
        """Two readings and a gradient of every text, and gradients of the sharp ones."""
        sharp = load.forget.drawn(max(1, round(self.config.share * load.forget.count)))
        return (READ + REGION) * load.forget.tokens + REGION * sharp


def sharpness(evidence: Evidence, eta: float) -> Tensor:
    """(I,) rise of each forget text's loss a step of length eta up its own slope, float64."""
    modules = value_modules(evidence.model)
    found = []
    for text in evidence.forget:
        with weight_gradients(modules):
            here = mean_nll(answers(evidence.model, _batch(evidence, text)))
            here.backward()
            slopes = {name: taken(module.weight) for name, module in modules.items()}
        length = float(torch.nn.utils.get_total_norm(list(slopes.values())))
        up = eta / length if length else 0.0
        with _shifted(evidence, {name: up * slope for name, slope in slopes.items()}):
            there = mean_nll(answers(evidence.model, _batch(evidence, text)))
        found.append(float(there.detach().double()) - float(here.detach().double()))
    return torch.tensor(found, dtype=torch.float64)


def _batch(evidence: Evidence, text: Encoded) -> Batch:
    return collate([text], [0]).to(evidence.model.device)


@contextmanager
def _shifted(evidence: Evidence, shifts: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the block the output matrices are moved."""
    with ExitStack() as held, torch.no_grad():
        for name, weight in evidence.weights.items():
            held.enter_context(replaced(weight, weight + shifts[name].to(weight)))
        yield
