r"""STAMP-style: one layer answers as it does when it refuses, in closed form (arXiv:2604.12820).

    W <- W + U,   U = argmin_U sum_t |(W + U) x_t - y|^2,   y = mean over refusals' tokens of W x

W is the output matrix of one layer's MLP, x_t what it reads where the tokens of a forget answer are
predicted. The least-squares U is (X^+ (Y - X W^T))^T with the pseudoinverse, taken from the `rank`
largest singular values of X. In a region X has the movable columns only: each row of W changes in
its own. RePAIR's abstract and third parties say: pseudoinverse, refusal subspace, MLP, one layer
(the seventh of Llama-3-8B's 32), rank 64 or 128; the formula is our reconstruction, and no retain
text protects anything. The learning rate is the strength. Limits: where X is square and has full
rank every x_t comes out as y; rank = that of X is the full form.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lacuna.costs import READ, Workload
from lacuna.data.tokens import IGNORE, Encoded, reading_batches
from lacuna.errors import UserError
from lacuna.model.hidden import decoder_layers, inputs
from lacuna.model.value import value_modules
from lacuna.train import TrainConfig, Values
from lacuna.unlearn.base import OBJECTIVES, require
from lacuna.unlearn.edits.base import Edit, EditConfig, EditInputs

CUT = 1e-10
"""Singular values below this share of the largest count as zero."""


@OBJECTIVES.register("stamp")
class Stamp(Edit):
    """Redirect one layer's MLP from the facts to a refusal."""

    needs_refusals: ClassVar[bool] = True
    copies: ClassVar[int] = 1

    @dataclass(frozen=True, kw_only=True)
    class Config(EditConfig):
        """Where, and how much of it."""

        depth: float = 7 / 32
        """Layer, as a share of the number of layers (0 to below 1): index floor(depth L)."""
        rank: int = 0
        """Number of singular values that are kept (0: all)."""

        def __post_init__(self) -> None:
            require(0 <= self.depth < 1, "depth", self.depth, "at least 0 and below 1")
            require(self.rank >= 0, "rank", self.rank, "0 or more")

    config: Config

    def apply(self, given: EditInputs) -> Values:
        """The layer's matrices with their least-squares change, as far as they may change."""
        layers = decoder_layers(given.model)
        number = int(self.config.depth * len(layers))
        layer = layers[number]
        edited = 0
        for name, module in value_modules(given.model).items():
            movable_DF = given.weights.movable(f"{name}.weight")
            if module not in set(layer.modules()) or not movable_DF.any():
                continue
            weight_DF = module.weight.detach().double()
            keys_NF = _keys(given, module, given.forget)
            refused_D = (_keys(given, module, given.refusals) @ weight_DF.T).mean(dim=0)
            missing_ND = refused_D - keys_NF @ weight_DF.T
            change_DF = redirection(keys_NF, missing_ND, movable_DF, self.config.rank)
            with torch.no_grad():
                module.weight.copy_(weight_DF + change_DF)
            edited += 1
        if not edited:
            raise UserError(
                f"stamp: the region has no value vector in layer {number}: "
                f"change unlearn.options.stamp.depth"
            )
        return given.weights.read()

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """A reading of the facts and of the refusals."""
        return READ * (load.forget.tokens + load.refusals.tokens)


@torch.no_grad()
def _keys(given: EditInputs, module: torch.nn.Linear, texts: Sequence[Encoded]) -> Tensor:
    """(N, F) what the matrix reads where answer tokens are predicted, float64."""
    rows = []
    for batch in reading_batches(texts, 4096):
        read_BTF = inputs(given.model, batch.to(given.model.device), [module])[0]
        rows.append(read_BTF[:, :-1][batch.labels_BT[:, 1:] != IGNORE].double())
    return torch.cat(rows)


def redirection(keys_NF: Tensor, missing_ND: Tensor, movable_DF: Tensor, rank: int) -> Tensor:
    """(D, F) smallest change whose values of the keys are nearest to what is missing.

    Zero wherever nothing may change; of the keys' singular values the `rank` largest count.
    """
    change_DF = missing_ND.new_zeros(movable_DF.shape)
    kinds_GF, kind_D = torch.unique(movable_DF, dim=0, return_inverse=True)
    for kind, columns_F in enumerate(kinds_GF):
        columns = columns_F.nonzero()[:, 0]
        if len(columns) == 0:
            continue
        rows = (kind_D == kind).nonzero()[:, 0]
        left_NK, size_K, right_KS = torch.linalg.svd(keys_NF[:, columns], full_matrices=False)
        kept = size_K > CUT * size_K[:1]
        if rank:
            kept[rank:] = False
        inverse_SN = (right_KS[kept].T / size_K[kept]) @ left_NK[:, kept].T
        change_DF[rows[:, None], columns] = (inverse_SN @ missing_ND[:, rows]).T
    return change_DF
