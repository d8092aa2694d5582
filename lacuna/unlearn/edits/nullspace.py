"""Linear algebra of an edit that leaves chosen keys alone.

A key is what goes into a matrix W, its value W k what comes out. Keys that must keep their values
are known by their covariance C = E[k k^T] alone. An edit then stays where C has next to nothing.
Shapes: N keys, F key width, D value width, S columns that may change, R null directions.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor


class Covariance:
    """E[k k^T] of keys that arrive in blocks, (F, F) float64: no more than a block is ever held."""

    def __init__(self, width: int, device: torch.device) -> None:
        self.sum_FF = torch.zeros((width, width), dtype=torch.float64, device=device)
        self.count = 0

    def add(self, keys_NF: Tensor) -> None:
        """Count a block of keys."""
        wide_NF = keys_NF.double()
        self.sum_FF.addmm_(wide_NF.T, wide_NF)
        self.count += len(keys_NF)

    @property
    def mean_FF(self) -> Tensor:
        """Mean outer product; zero, so that everything is null, before the first key."""
        return self.sum_FF / max(1, self.count)


def null_basis(covariance_SS: Tensor, threshold: float, relative: bool) -> Tensor:
    """(S, R) orthonormal eigenvectors whose eigenvalues are at most `threshold`.

    `relative`: times the largest eigenvalue, so that from 1 on nothing is protected.
    """
    values_S, vectors_SS = torch.linalg.eigh(covariance_SS)
    limit = threshold * values_S[-1].clamp_min(0) if relative else threshold
    found_SR: Tensor = vectors_SS[:, values_S <= limit]
    return found_SR


def ridge_update(keys_NS: Tensor, wanted_ND: Tensor, basis_SR: Tensor, ridge: float) -> Tensor:
    r"""(D, S) change U of a matrix, inside the null space, that best moves its values as wanted.

        min_U  sum_i |U k_i - r_i|^2 + ridge |U|^2     over U = U Q Q^T,   Q the basis

    AlphaEdit's R K^T P (K K^T P + ridge I)^-1 with P = Q Q^T, solved in its dual form, whose system
    has a row for each key instead of one for each column of the matrix.
    """
    inside_NR = keys_NS.double() @ basis_SR
    gram_NN = inside_NR @ inside_NR.T
    gram_NN.diagonal().add_(ridge)
    weights_ND = torch.cholesky_solve(wanted_ND.double(), torch.linalg.cholesky(gram_NN))
    return weights_ND.T @ inside_NR @ basis_SR.T


@dataclass
class Memory:
    """One matrix under edits: what it must keep, which entries may move, and its earlier edits.

    Rows that may change in the same columns are solved together, each set of columns in the null
    space of the covariance restricted to it: exact for a whole matrix, for value vectors (one
    problem of S columns) and for single weights (one for each row).
    """

    movable_DF: Tensor
    """Boolean: what may change."""
    covariance: Covariance
    threshold: float
    relative: bool
    ridge: float
    _keys: list[Tensor] = field(default_factory=list)
    _basis: tuple[Tensor, Tensor] | None = None

    def update(self, keys_NF: Tensor, wanted_ND: Tensor) -> Tensor:
        """(D, F) change that moves the values of the keys as wanted and those of earlier keys not.

        Zero wherever nothing may change.
        """
        wanted_ND = wanted_ND.double()
        earlier = sum(map(len, self._keys))
        self._keys.append(keys_NF.double())
        all_NF = torch.cat(self._keys)
        all_ND = torch.cat([wanted_ND.new_zeros((earlier, wanted_ND.shape[1])), wanted_ND])
        update_DF = wanted_ND.new_zeros(self.movable_DF.shape)
        kinds_GF, kind_D = torch.unique(self.movable_DF, dim=0, return_inverse=True)
        for kind, columns_F in enumerate(kinds_GF):
            columns = columns_F.nonzero()[:, 0]
            if len(columns) == 0:
                continue
            rows = (kind_D == kind).nonzero()[:, 0]
            basis_SR = self._null(columns)
            change = ridge_update(all_NF[:, columns], all_ND[:, rows], basis_SR, self.ridge)
            update_DF[rows[:, None], columns] = change
        return update_DF

    def _null(self, columns: Tensor) -> Tensor:
        """The null space within some columns; the last one is kept, as most matrices have one."""
        if self._basis is None or not torch.equal(self._basis[0], columns):
            inner_SS = self.covariance.mean_FF[columns][:, columns]
            self._basis = columns, null_basis(inner_SS, self.threshold, self.relative)
        return self._basis[1]
