r"""Kronecker-factored curvature of linear layers (K-FAC; Martens & Grosse 2015, arXiv:1503.05671).

    G = E[d d^T] x E[a a^T],   a: what goes into a matrix, d: slope of the loss in what comes out

stands for the Gauss-Newton matrix of the token-mean cross-entropy, so that 1/2 vec(U)^T G vec(U) is
the mean KL divergence of predictions that a small change U of the weights causes. Labels are drawn
from the model itself; those of the data would give the empirical Fisher, which is something else.
Shapes: P positions, N labelled tokens, F inputs, D outputs, S columns that may change.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lacuna.data.tokens import Batch, Encoded, reading_batches
from lacuna.errors import UserError
from lacuna.model.forward import Answers, answers, wide
from lacuna.model_types import PreTrainedModel

Traffic = dict[str, tuple[Tensor, Tensor]]
"""Module -> inputs (P, F) and gradients of a loss in the outputs (P, D), at every token of a text
but its last."""


def traffic(
    model: PreTrainedModel,
    modules: Mapping[str, nn.Linear],
    batch: Batch,
    loss: Callable[[Answers], Tensor],
) -> Traffic:
    """What goes into linear layers on a batch, and how a loss depends on what comes out.

    Gradients that weights hold stay. Raises `UserError` where activations are not kept.
    """
    kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        if not output.requires_grad:
            output.requires_grad_(True)
        kept[module] = args[0].detach(), output

    handles = [module.register_forward_hook(keep) for module in modules.values()]
    try:
        with torch.enable_grad():
            value = loss(answers(model, batch))
    finally:
        for handle in handles:
            handle.remove()
    outputs = [kept[module][1] for module in modules.values()]
    slopes = torch.autograd.grad(value, outputs, allow_unused=True)
    if any(slope is None for slope in slopes):
        raise UserError("gradients of activations need them kept: turn off checkpointing")
    # the last token of a text predicts nothing, and is not computed in the longest
    places_T = torch.arange(max(1, batch.ids_BT.shape[1] - 1), device=batch.ids_BT.device)
    real_P = (places_T < batch.lengths_B[:, None] - 1).flatten()
    return {
        name: (_rows(kept[module][0], real_P), _rows(slope, real_P))
        for (name, module), slope in zip(modules.items(), slopes, strict=True)
    }


def _rows(states: Tensor, real_P: Tensor) -> Tensor:
    """(P, width) without padding, where every position of the batch is there."""
    rows = states.reshape(-1, states.shape[-1])
    return rows[real_P] if len(rows) == len(real_P) else rows


@dataclass(frozen=True)
class Factors:
    """The curvature of one matrix."""

    inputs_FF: Tensor
    """E[a a^T], float64."""
    outputs_DD: Tensor
    """E[d d^T] times positions per labelled token, float64."""

    def solve(self, gradient_DS: Tensor, columns_S: Tensor, damping: float) -> Tensor:
        """(G + l I)^-1 g for some columns of the matrix; l is `damping` times G's mean eigenvalue.

        Raises `UserError` where the layer is silent, so that there is no curvature.
        """
        inner_SS = self.inputs_FF[columns_S][:, columns_S]
        (a_S, into_SS), (d_D, out_DD) = (torch.linalg.eigh(m) for m in (inner_SS, self.outputs_DD))
        product_DS = d_D.clamp_min(0)[:, None] * a_S.clamp_min(0)
        level = damping * product_DS.mean()
        if not level > 0:
            raise UserError("a layer has no curvature on the retain texts: check the model")
        turned_DS = out_DD.T @ gradient_DS.double() @ into_SS
        solved_DS: Tensor = out_DD @ (turned_DS / (product_DS + level)) @ into_SS.T
        return solved_DS


def factors(
    model: PreTrainedModel,
    modules: Mapping[str, nn.Linear],
    texts: Sequence[Encoded],
    generator: torch.Generator,
    max_tokens: int = 4096,
) -> dict[str, Factors]:
    """Factors of every module on the answers of `texts`, with labels drawn by the generator."""
    sums: dict[str, list[Tensor]] = {}
    positions = tokens = 0

    def drawn_nll(said: Answers) -> Tensor:
        nonlocal tokens
        tokens += len(said.labels_N)
        logp_NV = wide(said.logits_NV).log_softmax(-1)
        drawn_N1 = torch.multinomial(logp_NV.detach().exp().cpu(), 1, generator=generator)
        return -logp_NV.gather(1, drawn_N1.to(logp_NV.device)).sum()

    for batch in reading_batches(texts, max_tokens):
        found = traffic(model, modules, batch.to(model.device), drawn_nll)
        positions += max(len(a_PF) for a_PF, _ in found.values())
        for name, pair in found.items():
            squares = [x.double().T @ x.double() for x in pair]
            held = sums.setdefault(name, [torch.zeros_like(square) for square in squares])
            for total, square in zip(held, squares, strict=True):
                total += square
    return {
        name: Factors(a_FF / positions, d_DD / max(1, tokens))
        for name, (a_FF, d_DD) in sums.items()
    }


def mean_gradients(
    model: PreTrainedModel,
    modules: Mapping[str, nn.Linear],
    texts: Sequence[Encoded],
    max_tokens: int = 4096,
) -> dict[str, Tensor]:
    """Module -> (D, F) gradient of the token-mean NLL over all answers, float64."""
    total: dict[str, Tensor] = {}
    tokens = 0

    def nll(said: Answers) -> Tensor:
        nonlocal tokens
        tokens += len(said.labels_N)
        return said.nll_N.sum()

    for batch in reading_batches(texts, max_tokens):
        for name, (a_PF, d_PD) in traffic(model, modules, batch.to(model.device), nll).items():
            part_DF = d_PD.double().T @ a_PF.double()
            total[name] = total[name] + part_DF if name in total else part_DF
    return {name: value / max(1, tokens) for name, value in total.items()}
