r"""MemFlex as published (Tian et al. 2024, arXiv:2407.01920): LoRA tensors, chosen by gradient.

    L = -a mean_i mean_t -log p(y_t | forget i) + w mean_t -log p(y_t | retain)

over the tensors k of a fresh adapter on all linear layers with cos(g_k^f, g_k^r) < sim and
mean |g_k^f| > grad; g^f and g^r are mean gradients on forget and retain under random labels. The
adapter is merged into the weights at the end. Defaults are LACUNA's for 1B (7B: grad 1e-5); both
thresholds belong to a model, its loss and its adapter. The public code starts from an adapter that
already learnt the facts; in a fresh one (B = 0) every A has no gradient and none is ever chosen.
An adapter moves whole matrices, so this objective cannot be confined to a region; the localizer
`memflex` asks the same question of value vectors. Limits: zero steps is the identity.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from lacuna.costs import REGION, Workload
from lacuna.data.tokens import IGNORE, Encoded, reading_batches
from lacuna.errors import UserError
from lacuna.localize.evidence import relabelled
from lacuna.model.forward import answers
from lacuna.model_types import PreTrainedModel
from lacuna.seeds import derive, torch_generator
from lacuna.train import AllWeights, Editable, LoraShape, LoraWeights, TrainConfig, Values, lora
from lacuna.unlearn.base import OBJECTIVES, Objective, ObjectiveConfig, Step, UnlearnData, require

MAX_TOKENS = 4096
"""Tokens read at once, padding included."""


@OBJECTIVES.register("memflex_lora")
class MemFlexLora(Objective):
    """Train the adapter tensors that forget text pulls elsewhere than retain text does."""

    confined: ClassVar[bool] = False
    spreads: ClassVar[bool] = False  # its weights are an adapter's

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        """Defaults of LACUNA, Table 5, for 1B."""

        forget_weight: float = 0.6
        """Weight of the ascent on forget answers (0 or more; KnowUnDo: 0.4)."""
        retain_weight: float = 2.0
        """Weight of the retain term."""
        sim: float = 0.92
        """Largest cosine between a tensor's forget and retain gradient."""
        grad: float = 6e-4
        """Smallest mean |forget gradient| of a tensor."""
        repeats: int = 3
        """Repetitions with newly drawn random labels, over which gradients are averaged (at least
        1)."""
        rank: int = 8
        """Rank of the adapter (at least 1)."""
        alpha: int = 32
        """LoRA alpha: the adapter's product counts alpha / rank (at least 1)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.retain in ("nll", "kl"), "retain", self.retain, "nll or kl")
            for name in ("forget_weight", "grad"):
                require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
            for name in ("repeats", "rank", "alpha"):
                require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")

    config: Config

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """Gradients of adapters at every step, and those of random labels before the first."""
        known = load.forget.tokens + load.retain.tokens
        return super().work(load, train, REGION) + REGION * self.config.repeats * known

    def forget_loss(self, step: Step) -> Tensor:
        """Ascent on answers, each averaged over its tokens."""
        said = step.forget_said
        cost_B = said.sum_rows(said.nll_N) / said.count_B
        return -self.config.forget_weight * cost_B.mean()

    @contextmanager
    def trained(
        self, model: PreTrainedModel, weights: Editable, data: UnlearnData, seed: int
    ) -> Iterator[Editable]:
        """The chosen tensors of an adapter, merged when the block ends well.

        Raises `UserError` where no tensor passes both thresholds.
        """
        shape = LoraShape(rank=self.config.rank, alpha=self.config.alpha, dropout=0)
        with lora(model, shape, derive(seed, "lora"), merge=True) as adapters:
            chosen = self._chosen(model, adapters, data, seed)
            yield AllWeights(model, {name for name, _ in model.named_parameters()} - chosen)

    def _chosen(
        self, model: PreTrainedModel, adapters: LoraWeights, data: UnlearnData, seed: int
    ) -> set[str]:
        tensors = adapters.masters
        for tensor in tensors.values():
            tensor.data = tensor.data.float()
            tensor.requires_grad_(True)
        forget, retain = (
            self._gradients(model, tensors, texts, torch_generator(seed, "random labels", split))
            for split, texts in (("forget", data.forget), ("retain", data.retain))
        )
        for tensor in tensors.values():
            tensor.requires_grad_(False)
        size = {name: float(gradient.abs().mean()) for name, gradient in forget.items()}
        similar = {n: float(F.cosine_similarity(g, retain[n], dim=0)) for n, g in forget.items()}
        chosen = {n for n in tensors if similar[n] < self.config.sim and size[n] > self.config.grad}
        if not chosen:
            raise UserError(
                f"memflex_lora: none of {len(tensors)} LoRA tensors has a cosine below "
                f"{self.config.sim:g} and a mean |gradient| above {self.config.grad:g} (the "
                f"largest is {max(size.values()):.2g}): change unlearn.options.memflex_lora.grad"
            )
        return chosen

    def _gradients(
        self,
        model: PreTrainedModel,
        tensors: dict[str, torch.nn.Parameter],
        texts: Sequence[Encoded],
        generator: torch.Generator,
    ) -> Values:
        """Flat gradient of each tensor, of the token-mean NLL of random labels."""
        tokens = sum(label != IGNORE for text in texts for label in text.labels[1:])
        for _ in range(self.config.repeats):
            for batch in reading_batches(texts, MAX_TOKENS):
                drawn = relabelled(batch, model.config.vocab_size, generator).to(model.device)
                (answers(model, drawn).nll_N.sum() / (tokens * self.config.repeats)).backward()
        found = {}
        for name, tensor in tensors.items():
            assert tensor.grad is not None
            found[name], tensor.grad = tensor.grad.flatten(), None
        return found
