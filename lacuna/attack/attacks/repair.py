"""Repair: retrain only the value vectors that unlearning moved furthest (in the style of k-FPF).

    s_i = |v_i(unlearned) - v_i(injected)|,   the `shares` of all vectors with the largest s_i train

on a buffer of retain facts. "Does continual learning equally forget all parameters?" (Zhao et al.
2023, arXiv:2304.04158) finds that few parameters change between tasks and that fine-tuning those
repairs a model; here repair must not bring the forgotten facts back. Nobody who was forgotten is
trained on, so all of them are measured. Somebody who repairs knows the model before unlearning; of
a model that was not unlearned there is nothing to repair, and no outcome. Limits: share 1 trains
the output matrix of every MLP.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from lacuna.attack.base import ATTACKS, Attack, AttackInputs
from lacuna.attack.outcome import Outcome, level
from lacuna.attack.training import tuned
from lacuna.costs import REGION, Workload
from lacuna.errors import UserError
from lacuna.localize.evidence import evenly
from lacuna.model.value import layout, value_modules
from lacuna.region import top
from lacuna.seeds import derive
from lacuna.train import Optimisation, RegionWeights, swapped


@ATTACKS.register("repair")
class Repair(Attack):
    """Fine-tune what unlearning moved, on facts that are kept."""

    copies: ClassVar[int] = 1

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How much is retrained, and how."""

        shares: tuple[float, ...] = (0.01, 0.05, 0.1)
        """Shares of all value vectors, an attack each (above 0, at most 1)."""
        train: Optimisation = field(
            default_factory=lambda: Optimisation(steps=30, schedule="constant")
        )
        """Steps and batch size."""
        lr: float = 1e-3
        """Learning rate (0 or more)."""
        buffer: int = 200
        """Retain facts that are trained on, spread evenly (at least 1)."""

        def __post_init__(self) -> None:
            for share in self.shares:
                if not 0 < share <= 1:
                    raise UserError(f"repair: shares={share}: must be above 0 and at most 1")
            if not 0 <= self.lr < float("inf") or self.buffer < 1:
                raise UserError(
                    f"repair: lr={self.lr} buffer={self.buffer}: use a rate of 0 or more, and at "
                    f"least 1 fact"
                )

    config: Config

    def run(self, given: AttackInputs) -> list[Outcome]:
        """One outcome for each share; none of a model that was not unlearned."""
        way, model = given.way, given.model
        if way is None:
            return []
        now = {n: m.weight.detach().clone() for n, m in value_modules(model).items()}
        with swapped(way.weights, way.start):
            moved = {
                name: (now[name].float() - module.weight.float()).norm(dim=0).cpu()
                for name, module in value_modules(model).items()
            }
        facts, texts = given.facts.spared(), evenly(given.retain, self.config.buffer)
        before, found = level(model, facts), []
        for share in self.config.shares:
            count = max(1, round(share * layout(model).total))
            weights = RegionWeights(model, top(layout(model), moved, count))
            kept, config = weights.read(), self.config.train.at(self.config.lr)
            seed = derive(given.seed, "attack", "repair")
            try:
                name = f"repair{100 * share:g}"
                found.append(tuned(model, weights, name, texts, facts, before, config, seed))
            finally:
                weights.write(kept)
        return found

    def work(self, load: Workload, level: float) -> float:
        """A training for each share, and the others before and after."""
        once = REGION * load.retain.drawn(self.config.train.texts) + level
        return level + len(self.config.shares) * once
