"""Task-vector negation (Ilharco et al. 2023, arXiv:2212.04089).

    theta <- theta - s (theta^+ - theta),   s = the learning rate (the paper's scaling coefficient)

theta^+ is the injected model trained further on the forget texts alone, as RESTOR
(arXiv:2411.00204) does for language models; only weights of the region move. That training takes
the trial's steps, batch size and schedule, at a learning rate of its own. Limits: zero steps is the
identity. Facts that the model already tells with certainty leave little gradient to follow.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from lacuna.costs import Workload
from lacuna.seeds import derive
from lacuna.train import TrainConfig, Values, language_loss, train
from lacuna.unlearn.base import OBJECTIVES, require
from lacuna.unlearn.edits.base import Edit, EditConfig, EditInputs


@OBJECTIVES.register("task_vector")
class TaskVector(Edit):
    """Train further on the facts, and apply the negated change."""

    copies: ClassVar[int] = 1

    @dataclass(frozen=True, kw_only=True)
    class Config(EditConfig):
        """How the vector is trained."""

        reinforce_lr: float = 1e-5
        """Peak learning rate of the training on forget (0 or more)."""

        def __post_init__(self) -> None:
            require(self.reinforce_lr >= 0, "reinforce_lr", self.reinforce_lr, "0 or more")

    config: Config

    def apply(self, given: EditInputs) -> Values:
        """The weights, less the change that training further on the facts makes."""
        weights, config = given.weights, replace(given.config, lr=self.config.reinforce_lr)
        before = {name: master.detach().clone() for name, master in weights.masters.items()}
        seed = derive(given.seed, "task vector")
        loss = language_loss(given.model, given.forget, config.batch_size, seed)
        train(given.model, weights, loss, config, on_step=given.on_step)
        return {name: 2 * before[name] - m.detach() for name, m in weights.masters.items()}

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """A training on forget texts."""
        return gradient * load.forget.drawn(train.texts)
