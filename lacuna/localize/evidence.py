"""Statistics of the injected model that localizers share; each is computed at most once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from lacuna.costs import READ, REGION, Workload
from lacuna.data.tokens import IGNORE, Batch, Encoded, reading_batches
from lacuna.model.forward import answers
from lacuna.model.hidden import inputs
from lacuna.model.value import Layout, layout, value_modules
from lacuna.model_types import PreTrainedModel
from lacuna.region import Region
from lacuna.seeds import numbered, torch_generator
from lacuna.train import fisher

TARGET, RETAINED = "target region", "retained model"
"""What only this testbed knows; a localizer is given those that it declares in `privileges`."""
PerVector = dict[str, Tensor]
"""Module name -> (d_ff,)."""
PerWeight = dict[str, Tensor]
"""Module name -> (d_model, d_ff)."""


@dataclass(frozen=True)
class Statistic:
    """The cost of a statistic that `Evidence` computes once for all localizers that read it.

    A constructor has the name of the method of `Evidence` whose cost it describes.
    """

    name: str
    split: str
    repeats: int
    """Times that the split is read."""
    examples: int | None
    """Texts of the split that are read; None reads all."""
    per_token: float
    """Passes per token (`lacuna.costs`)."""
    matrices: int
    """float32 copies of all value vectors that it fills."""

    @classmethod
    def activations(cls) -> "Statistic":
        """One reading of the forget texts."""
        return cls("activations", "forget", 1, None, READ, 0)

    @classmethod
    def gradients(cls, split: str, random_labels: int = 0) -> "Statistic":
        """A gradient of a split, kept."""
        name = "random labels" if random_labels else "gradients"
        return cls(name, split, max(1, random_labels), None, REGION, 1)

    @classmethod
    def fisher(cls, split: str, examples: int) -> "Statistic":
        """A gradient of each of some texts, reduced to a number per vector."""
        return cls("fisher", split, 1, examples, REGION, 0)

    @classmethod
    def weight_fisher(cls, split: str, examples: int) -> "Statistic":
        """The same for single weights."""
        return cls("weight fisher", split, 1, examples, REGION, 1)

    def work(self, load: Workload) -> float:
        """Passes it takes."""
        texts = load.forget if self.split == "forget" else load.retain
        read = texts.count if self.examples is None else self.examples
        return self.per_token * self.repeats * texts.some(read)


@dataclass(eq=False)
class Evidence:
    """The injected model, the texts, and what only this testbed knows (`target`, `retained`)."""

    model: PreTrainedModel
    forget: Sequence[Encoded]
    retain: Sequence[Encoded]
    seed: int
    target: Region | None = None
    retained: PreTrainedModel | None = None
    max_tokens: int = 4096
    region: int = 1
    """Which of its seed's random regions is drawn."""
    taken: Mapping[str, Tensor] = field(default_factory=dict)
    """Name -> boolean, in the scores' shape: what the random regions before this one hold."""
    _gradients: dict[tuple[str, int], PerWeight] = field(default_factory=dict)
    _fisher: dict[tuple[str, int], PerVector] = field(default_factory=dict)

    def told(self, privileges: Sequence[str]) -> "Evidence":
        """The same evidence without what is not in `privileges`; statistics stay shared."""
        return replace(
            self,
            target=self.target if TARGET in privileges else None,
            retained=self.retained if RETAINED in privileges else None,
        )

    def after(self, chosen: Mapping[str, Tensor]) -> "Evidence":
        """The same for the seed's next random region, which keeps clear of the `chosen` one too.

        chosen: name -> boolean, in the scores' shape.
        """
        taken = {name: mask | self.taken.get(name, mask) for name, mask in chosen.items()}
        return replace(self, region=self.region + 1, taken=taken)

    def noise(self, purpose: str, shape: Sequence[int]) -> Tensor:
        """Uniform numbers for one purpose; each of a seed's random regions has its own."""
        generator = torch_generator(self.seed, "localize", purpose, *numbered(self.region))
        return torch.rand(tuple(shape), generator=generator)

    @cached_property
    def layout(self) -> Layout:
        """The model's value vectors."""
        return layout(self.model)

    @cached_property
    def weights(self) -> PerWeight:
        """The output matrices themselves (not copies)."""
        return {name: m.weight.detach() for name, m in value_modules(self.model).items()}

    @cached_property
    def norms(self) -> PerVector:
        """Length of each value vector."""
        return {name: w.float().norm(dim=0).cpu() for name, w in self.weights.items()}

    @cached_property
    def activations(self) -> PerVector:
        """Mean |h_i| over the tokens that predict a forget answer's, then over answers."""
        modules = list(value_modules(self.model).values())
        total = [torch.zeros(module.in_features) for module in modules]
        rows = 0
        with torch.no_grad():
            for batch in reading_batches(self.forget, self.max_tokens):
                batch = batch.to(self.model.device)
                asked_BT = batch.labels_BT[:, 1:] != IGNORE
                count_B = asked_BT.sum(dim=1)
                rows += int((count_B > 0).sum())
                share_N = (1 / count_B)[asked_BT.nonzero()[:, 0]]
                for i, h_BTF in enumerate(inputs(self.model, batch, modules)):
                    total[i] += (share_N @ h_BTF[:, :-1][asked_BT].abs().float()).cpu()
        return {name: total[i] / rows for i, name in enumerate(self.layout.shapes)}

    def gradients(self, split: str, random_labels: int = 0) -> PerWeight:
        """Gradient of the token-mean NLL of a split, as one batch would give it.

        `random_labels` > 0 replaces every label by a uniformly drawn token and averages over that
        many repetitions (MemFlex); the inputs stay as they are.
        """
        wanted = (split, random_labels)
        if wanted not in self._gradients:
            self._gradients[wanted] = self._gradient_pass(split, random_labels)
        return self._gradients[wanted]

    def _texts(self, split: str) -> Sequence[Encoded]:
        return {"forget": self.forget, "retain": self.retain}[split]

    def _gradient_pass(self, split: str, random_labels: int) -> PerWeight:
        texts = self._texts(split)
        tokens = sum(label != IGNORE for row in texts for label in row.labels[1:])
        generator = torch_generator(self.seed, "random labels", split)
        repeats = max(1, random_labels)
        modules = value_modules(self.model)
        with weight_gradients(modules):
            for _ in range(repeats):
                for batch in reading_batches(texts, self.max_tokens):
                    if random_labels:
                        batch = relabelled(batch, self.model.config.vocab_size, generator)
                    said = answers(self.model, batch.to(self.model.device))
                    (said.nll_N.sum() / (tokens * repeats)).backward()
            return {name: taken(module.weight) for name, module in modules.items()}

    def fisher(self, split: str, examples: int) -> PerVector:
        """Diagonal empirical Fisher (`lacuna.train.fisher`), averaged over each value vector.

        `examples` texts are read, spread evenly over the split.
        """
        texts = evenly(self._texts(split), examples)
        wanted = (split, len(texts))
        if wanted not in self._fisher:
            self._fisher[wanted] = self._fisher_pass(texts, lambda square: square.mean(0).cpu())
        return self._fisher[wanted]

    def weight_fisher(self, split: str, examples: int) -> PerWeight:
        """The same for single weights; not kept, since it is as large as the weights."""
        return self._fisher_pass(evenly(self._texts(split), examples), lambda square: square)

    def _fisher_pass(
        self, texts: Sequence[Encoded], reduced: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        modules = value_modules(self.model)
        with weight_gradients(modules):
            return fisher(
                self.model,
                texts,
                lambda: ((n, reduced(taken(m.weight).square())) for n, m in modules.items()),
            )


def relabelled(batch: Batch, vocabulary: int, generator: torch.Generator) -> Batch:
    """The batch with every label replaced by a uniformly drawn token; inputs stay (MemFlex)."""
    drawn = torch.randint(vocabulary, batch.labels_BT.shape, generator=generator)
    labels = torch.where(batch.labels_BT == IGNORE, batch.labels_BT, drawn)
    return Batch(batch.ids_BT, labels, batch.index_B, batch.lengths_B)


@contextmanager
def weight_gradients(modules: Mapping[str, nn.Linear]) -> Iterator[None]:
    """Within the block the weights of `modules` carry gradients."""
    for module in modules.values():
        module.weight.requires_grad_(True)
    try:
        yield
    finally:
        for module in modules.values():
            module.weight.requires_grad_(False)
            module.weight.grad = None


@contextmanager
def replaced(place: Tensor, value: Tensor) -> Iterator[None]:
    """Within the block `place`, a view of a weight, holds `value`; afterwards its own bits."""
    before = place.clone()
    place.copy_(value)
    try:
        yield
    finally:
        place.copy_(before)


def evenly(texts: Sequence[Encoded], count: int) -> Sequence[Encoded]:
    """`count` texts spread evenly over the list, or all of them where it has no more."""
    count = min(count, len(texts))
    return [texts[i * len(texts) // count] for i in range(count)]


def taken(weight: Tensor) -> Tensor:
    """The gradient of a weight as float32; the weight has none afterwards."""
    assert weight.grad is not None
    gradient = weight.grad.float()
    weight.grad = None
    return gradient
