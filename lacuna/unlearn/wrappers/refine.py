r"""Refinement: texts that are forgotten are switched off (ICU; Tang et al. 2024, arXiv:2407.20271).

    after every epoch:  text i is read in the next one if and only if ES_i >= below

ES is the extraction strength of the text's own answer: the share of it that the model adds once the
rest is given. Texts may come back; those that are left fill the epoch, and once none is, the forget
term has no gradient and the retain term goes on alone. So no text is pushed further than it must
be, which is what blurs where facts were. The paper asks BERTScore below .3 or BLEU below .01 of
generated text, and stops for good when no text is left. Limits: below = 0 is the objective alone; a
text below it from the start is never read.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lacuna.costs import READ, Workload
from lacuna.data.tokens import reading_batches
from lacuna.model.forward import answers
from lacuna.train import Editable, Values
from lacuna.unlearn.base import UnlearnData, require
from lacuna.unlearn.wrappers.base import WRAPPERS, Gradient, Point, Start, Wrapper


@WRAPPERS.register("refine")
class Refine(Wrapper):
    """Unlearn what is not yet forgotten."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """When a text counts as forgotten."""

        below: float = 0.3
        """Extraction strength under which a text is switched off (0 to 1)."""

        def __post_init__(self) -> None:
            require(0 <= self.below <= 1, "below", self.below, "from 0 to 1")

    config: Config

    def data(self, start: Start) -> UnlearnData:
        """The same texts, with draws that change from epoch to epoch."""
        self.start, config = start, start.config
        self.base = list(start.data.draws) or [1.0] * len(start.data.forget)
        self.epoch = -(-len(self.base) // (config.batch_size * config.accumulation))
        self.live = list(self.base)
        self._look()
        return replace(start.data, draws=self.live)

    def gradient(self, inner: Gradient, point: Point) -> Gradient:
        """None once every text is off."""

        def left(weights: Editable) -> Values:
            found = inner(weights)
            if self.on:
                return found
            return {name: torch.zeros_like(value) for name, value in found.items()}

        return left

    def after_step(self, weights: Editable, done: int, steps: int) -> None:
        """Ask all texts again at the end of every epoch but the last."""
        if done % self.epoch == 0 and done < steps:
            self._look()

    def scoring(self, load: Workload, gradient: float) -> float:
        """A reading of every forget text; epochs add as many."""
        return READ * load.forget.tokens

    def _look(self) -> None:
        """Switch texts on and off, in the list that the batches are drawn by."""
        still = [strength >= self.config.below for strength in self._strengths().tolist()]
        self.on = any(still)
        self.live[:] = [
            draw if on or not self.on else 0.0 for draw, on in zip(self.base, still, strict=True)
        ]

    @torch.no_grad()
    def _strengths(self) -> Tensor:
        """(I,) extraction strength of every forget text, its closing token left out."""
        model, found = self.start.model, torch.zeros(len(self.start.data.forget))
        for batch in reading_batches(self.start.data.forget, 4096):
            said = answers(model, batch.to(model.device))
            wrong_N = (said.logits_NV.argmax(dim=1) != said.labels_N).cpu()
            for index, wrong in zip(
                batch.index_B.tolist(), wrong_N.split(said.count_B.tolist()), strict=True
            ):
                body = wrong[:-1] if len(wrong) > 1 else wrong
                places = body.nonzero()
                found[index] = 1 - (int(places[-1, 0]) + 1 if len(places) else 0) / len(body)
        return found
