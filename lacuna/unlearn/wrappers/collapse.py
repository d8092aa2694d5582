r"""Collapse of common directions (CIR, arXiv:2509.11816; RepSelect, arXiv:2606.17168).

    g <- (I - C_d C_d^T) g (I - C_a C_a^T)

g is the forget term's gradient on a matrix: a sum over positions of d a^T, where a goes in and d is
the slope in what comes out. C_a and C_d are the mean and the first principal directions of a and of
d over all forget texts: what every text has in common is no fact, and unlearning it is what harms
the rest and is relearned at once. Taking them out of every a and d is taking them out of g. C are
measured before the first step and after every epoch, d of the facts' token-mean NLL; the public
code takes those of the last epoch's own loss, begins in the second epoch, takes 24 and 36 of some
thousand directions, and does not make them orthogonal to the mean. Its own forget term, an inner
product of MLP outputs, is not here. A column region has its own a. Limits: shares of 0 are the
objective alone; a share of 1 takes everything.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lacuna.costs import Workload
from lacuna.data.tokens import reading_batches
from lacuna.errors import UserError
from lacuna.train import Editable, Values, mean_nll
from lacuna.train.kfac import traffic
from lacuna.unlearn.base import UnlearnData, require
from lacuna.unlearn.wrappers.base import WRAPPERS, Gradient, Point, Start, Wrapper


@WRAPPERS.register("collapse")
class Collapse(Wrapper):
    """Unlearn in directions that the forget texts do not share."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """How many directions are taken out."""

        inputs: float = 0.003
        """Share of the input directions that is taken out, the mean first (0 to 1; 0 none, else at
        least one)."""
        outputs: float = 0.018
        """The same of output directions."""

        def __post_init__(self) -> None:
            for name in ("inputs", "outputs"):
                require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "from 0 to 1")

    config: Config
    copies = 1

    def data(self, start: Start) -> UnlearnData:
        """The same texts; finds the matrices, and measures their directions."""
        self.start, self.modules, config = start, _matrices(start), start.config
        self.epoch = -(-len(start.data.forget) // (config.batch_size * config.accumulation))
        with start.weights.training():
            self._measure(start.weights)
        return start.data

    def gradient(self, inner: Gradient, point: Point) -> Gradient:
        """The gradient without the common directions; the very same where there are none."""

        def selective(weights: Editable) -> Values:
            found = inner(weights)
            return {
                name: self._without(name, value) if name in self.modules else value
                for name, value in found.items()
            }

        return selective

    def after_step(self, weights: Editable, done: int, steps: int) -> None:
        """Measure the directions anew at the end of every epoch but the last."""
        if done % self.epoch == 0 and done < steps:
            self._measure(weights)

    def scoring(self, load: Workload, gradient: float) -> float:
        """A gradient of every forget text; epochs add as many, which is one more a step."""
        return gradient * load.forget.tokens

    def _without(self, name: str, value_DS: Tensor) -> Tensor:
        into_SK, out_DK = self.directions[name]
        if value_DS.shape in ((out_DK.shape[1], len(into_SK)), (len(out_DK), into_SK.shape[1])):
            return torch.zeros_like(value_DS)  # rounding would be a gradient to AdamW
        if out_DK.shape[1]:
            value_DS = value_DS - out_DK @ (out_DK.T @ value_DS)
        if into_SK.shape[1]:
            value_DS = value_DS - (value_DS @ into_SK) @ into_SK.T
        return value_DS

    def _measure(self, weights: Editable) -> None:
        """Both sets of directions of every matrix, at the weights that it has now."""
        model, sums = self.start.model, dict[str, list[Tensor]]()
        for batch in reading_batches(self.start.data.forget, 4096):
            found = traffic(model, self.modules, batch.to(model.device), mean_nll)
            for name, (a_PF, d_PD) in found.items():
                a_PS = a_PF[:, self._columns(weights, name)]
                parts = [a_PS.sum(0), a_PS.T @ a_PS, d_PD.sum(0), d_PD.T @ d_PD]
                held = sums.get(name, [torch.zeros_like(part) for part in parts])
                sums[name] = [total + part for total, part in zip(held, parts, strict=True)]
        self.directions: dict[str, tuple[Tensor, Tensor]] = {}
        for name, (a_S, a_SS, d_D, d_DD) in sums.items():
            into_SK = common(a_S, a_SS, self.config.inputs)
            out_DK = common(d_D, d_DD, self.config.outputs)
            master = weights.masters[name]
            self.directions[name] = into_SK.to(master), out_DK.to(master)

    def _columns(self, weights: Editable, name: str) -> Tensor:
        weight = "" if name.endswith(".weight") else ".weight"
        return weights.movable(f"{name}{weight}").any(dim=0)


def common(sum_F: Tensor, square_FF: Tensor, share: float) -> Tensor:
    """(F, K) orthonormal: the mean direction, and the first principal ones beside it."""
    count = max(1, round(share * len(sum_F))) if share else 0
    length = sum_F.norm()
    if count == 0 or length == 0:
        return sum_F.new_zeros((len(sum_F), 0))
    mean_F1 = (sum_F / length)[:, None].double()
    rest_FF = square_FF.double()
    rest_FF = rest_FF - mean_F1 @ (mean_F1.T @ rest_FF)
    rest_FF = rest_FF - (rest_FF @ mean_F1) @ mean_F1.T
    _, vectors_FF = torch.linalg.eigh((rest_FF + rest_FF.T) / 2)
    further = vectors_FF[:, len(sum_F) - count + 1 :]
    basis_FK: Tensor = torch.linalg.qr(torch.cat([mean_F1, further], dim=1))[0]
    return basis_FK


def _matrices(start: Start) -> Mapping[str, nn.Linear]:
    """Master -> its linear layer. Raises `UserError` for a region of single weights."""
    found = {}
    for name, master in start.weights.masters.items():
        module = start.model.get_submodule(name.removesuffix(".weight").removesuffix(".bias"))
        if not isinstance(module, nn.Linear) or name.endswith(".bias"):
            continue
        if master.dim() != 2:
            raise UserError("collapse needs whole value vectors: use a region of vectors, or full")
        if module is not start.model.get_output_embeddings():
            found[name] = module
    return found
