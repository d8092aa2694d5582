r"""AlphaEdit (Fang et al. 2025, arXiv:2410.02355): facts rewritten where kept text has no keys.

    z_i = h_i + d_i,   d_i = argmin L(answer i | h_i + d_i) + decay |d_i| / |h_i|^2 + kl KL
    W_l <- W_l + R_l K_l^T P_l (K_l K_l^T P_l + E_l E_l^T P_l + ridge I)^-1      layer after layer

h_i is the last edited layer's output at an edited token; K_l what layer l's MLP output matrix reads
there and R_l what it must add, its share of z - h; E_l the keys of earlier batches of facts. P_l
projects on the null space of the keys of kept text, whose covariance is streamed over all tokens of
retain and neutral text. L is the NLL of a refusal, or -log(1 - p) of the facts' own tokens.
Defaults are LACUNA's for 1B (7B: decay .5, kl .0625, batch 1, layers 4-8 of 32), with these
differences: facts here have no marked subject, so the edit sits where the answer is predicted
(`tokens`), and KL is that of a retain question under the same shift; a norm between matrix and
stream (OLMo-2, Gemma) is pulled back to first order; the threshold is relative to the largest
eigenvalue. In a region, each row of W moves in its own free columns, with their own null space: a
region of single weights costs an eigenvalue problem a row, layer and batch.
The learning rate is the strength (1: as published). Limits: with no null space the identity; ridge
-> inf too; threshold 1 protects nothing (MEMIT with a ridge in place of its covariance).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lacuna.costs import READ, REGION, Workload
from lacuna.data.tokens import IGNORE, Batch, Encoded, collate, reading_batches
from lacuna.errors import UserError
from lacuna.localize.evidence import weight_gradients
from lacuna.model.forward import Answers, answers, logits_at, wide
from lacuna.model.hidden import Output, decoder_layers, inputs, outputs
from lacuna.model.value import value_modules
from lacuna.model_types import PreTrainedModel
from lacuna.train import TrainConfig, Values, mean_kl
from lacuna.unlearn.base import OBJECTIVES, require
from lacuna.unlearn.edits.base import Edit, EditConfig, EditInputs
from lacuna.unlearn.edits.nullspace import Covariance, Memory

MAX_TOKENS = 4096
"""Tokens read at once, padding included."""
TOWARDS, TOKENS = ("away", "refusal"), ("answer", "question")


@OBJECTIVES.register("alphaedit")
class AlphaEdit(Edit):
    """Rewrite facts in closed form, in the null space of what is to be kept."""

    @dataclass(frozen=True, kw_only=True)
    class Config(EditConfig):
        """Defaults of LACUNA, Table 5, for 1B."""

        towards: str = "away"
        """`away` from the facts' own tokens, or towards the `refusal` of each question."""
        tokens: str = "answer"
        """Edited tokens: each from which the `answer` is predicted, or the `question`'s last."""
        first: float = 4 / 16
        """First edited layer, as a share of the number of layers: index floor(first L)."""
        last: float = 8 / 16
        """Last edited layer, as a share of the number of layers: index floor(last L) (below 1)."""
        threshold: float = 1e-3
        """Largest eigenvalue of a null direction (0 or more)."""
        relative: bool = True
        """Whether `threshold` is a share of the largest eigenvalue; false: absolute, as published.
        """
        ridge: float = 1.0
        """Weight of the change's squared norm (L2 in the paper; above 0)."""
        steps: int = 50
        """Number of Adam steps that find a target value (at least 1)."""
        value_lr: float = 5e-2
        """Learning rate of the Adam steps that find a target value (0 or more)."""
        decay: float = 1.0
        """Weight of the shift's length in the search for a target value (0 or more)."""
        kl: float = 1.0
        """Weight of the KL divergence that the shift causes on a retain question (0 or more)."""
        clamp: float = 0.5
        """Longest shift, as a share of the hidden state's length (0 or more)."""
        batch: int = 5
        """Number of facts that are edited at once (at least 1)."""

        def __post_init__(self) -> None:
            require(self.towards in TOWARDS, "towards", self.towards, " or ".join(TOWARDS))
            require(self.tokens in TOKENS, "tokens", self.tokens, " or ".join(TOKENS))
            require(0 <= self.first < 1, "first", self.first, "at least 0 and below 1")
            require(self.first <= self.last < 1, "last", self.last, "from `first` to below 1")
            require(self.ridge > 0, "ridge", self.ridge, "above 0")
            for name in ("threshold", "value_lr", "decay", "kl", "clamp"):
                require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
            for name in ("steps", "batch"):
                require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")

    config: Config

    def apply(self, given: EditInputs) -> Values:
        """Edit the facts batch after batch; raises `UserError` where nothing may move."""
        texts = given.refusals if self.config.towards == "refusal" else given.forget
        if not texts:
            raise UserError("towards=refusal needs refusals, and the data has none: use away")
        editor = Editor(given, self.config)
        size = self.config.batch
        for number, start in enumerate(range(0, len(texts), size)):
            rows = range(start, min(start + size, len(texts)))
            loss = editor.edit(collate(texts, rows).to(given.model.device))
            if given.on_step is not None:
                given.on_step(number, {"loss": loss})
        return given.weights.read()

    def work(self, load: Workload, train: TrainConfig, gradient: float) -> float:
        """Adam's steps on every fact, with a retain question where KL counts; then, layer after
        layer, two readings and a gradient; and one reading of what is to be kept."""
        config = self.config
        facts = load.refusals if config.towards == "refusal" else load.forget
        layers = int(config.last * load.layers) - int(config.first * load.layers) + 1
        kept = load.retain.drawn(facts.count) if config.kl else 0.0
        written = config.steps * (facts.tokens + kept) * REGION
        moved = layers * facts.tokens * (2 * READ + REGION)
        return written + moved + READ * (load.retain.tokens + load.neutral.tokens)


@dataclass(frozen=True)
class Place:
    """An edited layer: the decoder layer, its MLP's output matrix, and that matrix's memory of
    edits."""

    layer: nn.Module
    module: nn.Linear
    memory: Memory


class Editor:
    """Writes facts into the edited layers of a model, in place."""

    def __init__(self, given: EditInputs, config: AlphaEdit.Config) -> None:
        self.model, self.retain, self.config = given.model, given.retain, config
        self.places = _places(given, config)
        layers = decoder_layers(given.model)
        self.last = layers[int(config.last * len(layers))]

    def edit(self, batch: Batch) -> float:
        """Find the target values of a batch of facts and move the layers towards them."""
        edited_BT = _predicting(batch, first_only=self.config.tokens == "question")
        target_ND, loss = Search(self.model, self.retain, self.config, self.last).find(
            batch, edited_BT
        )
        for done, place in enumerate(self.places):
            missing_ND = target_ND - self._stream(batch, edited_BT)
            share_ND = missing_ND / (len(self.places) - done)
            keys_NF, wanted_ND = pulled_back(self.model, batch, edited_BT, place, share_ND)
            _add(place.module.weight, place.memory, keys_NF, wanted_ND)
        return loss

    @torch.no_grad()
    def _stream(self, batch: Batch, edited_BT: Tensor) -> Tensor:
        return wide(outputs(self.model, batch, [self.last])[0][edited_BT])


class Search:
    """Finds what a layer's output must be for the model to answer as wanted."""

    def __init__(
        self,
        model: PreTrainedModel,
        retain: Sequence[Encoded],
        config: AlphaEdit.Config,
        layer: nn.Module,
    ) -> None:
        self.model, self.retain, self.config, self.layer = model, retain, config, layer

    def find(self, batch: Batch, edited_BT: Tensor) -> tuple[Tensor, float]:
        """(N, D) wanted outputs at the edited tokens, row by row, and the final loss per fact.

        Facts do not meet: a sum over them is minimised with an optimizer that works entry by entry.
        """
        with torch.no_grad():
            start_ND = wide(outputs(self.model, batch, [self.layer])[0][edited_BT])
        length_N = start_ND.norm(dim=1)
        shift_ND = torch.zeros_like(start_ND, requires_grad=True)
        optimizer = torch.optim.Adam([shift_ND], lr=self.config.value_lr)
        drift = self._drift(batch, edited_BT) if self.config.kl and self.retain else None
        for _ in range(self.config.steps):
            optimizer.zero_grad()
            length = (shift_ND.norm(dim=1) / length_N**2).sum()
            value = self._answer_loss(batch, edited_BT, shift_ND) + self.config.decay * length
            if drift is not None:
                value = value + self.config.kl * drift(shift_ND)
            value.backward()
            optimizer.step()
            with torch.no_grad():
                longest_N = self.config.clamp * length_N / shift_ND.norm(dim=1).clamp_min(1e-12)
                shift_ND *= longest_N.clamp(max=1)[:, None]
        return start_ND + shift_ND.detach(), float(value.detach()) / len(batch.ids_BT)

    def _answer_loss(self, batch: Batch, edited_BT: Tensor, shift_ND: Tensor) -> Tensor:
        """Sum over facts of the mean over each answer's tokens."""
        with shifted(self.layer, edited_BT, shift_ND):
            said = answers(self.model, batch)
        cost_N = said.nll_N if self.config.towards == "refusal" else _told(said)
        return (said.sum_rows(cost_N) / said.count_B).sum()

    def _drift(self, batch: Batch, edited_BT: Tensor) -> Callable[[Tensor], Tensor]:
        """KL that each fact's first shift does to the next token of a retain question, summed."""
        rows = [index % len(self.retain) for index in batch.index_B.tolist()]
        kept = collate(self.retain, rows).to(self.model.device)
        asked_BT = _predicting(kept, first_only=True)
        with torch.no_grad():
            before_BV = logits_at(self.model, kept, asked_BT)
        row_N = edited_BT.nonzero()[:, 0]
        first_N = row_N.diff(prepend=row_N.new_tensor([-1])) > 0

        def drift(shift_ND: Tensor) -> Tensor:
            with shifted(self.layer, asked_BT, shift_ND[first_N]):
                after_BV = logits_at(self.model, kept, asked_BT)
            return mean_kl(after_BV, before_BV) * len(rows)

        return drift


def _told(said: Answers) -> Tensor:
    """-log(1 - p(label)), from logits, so that it is finite where p is 1 in float32."""
    logits_NV = wide(said.logits_NV)
    others_NV = logits_NV.scatter(1, said.labels_N[:, None], -torch.inf)
    return logits_NV.logsumexp(1) - others_NV.logsumexp(1)


@contextmanager
def shifted(layer: nn.Module, at_BT: Tensor, shift_ND: Tensor) -> Iterator[None]:
    """Within the block `layer` puts out `shift_ND` more at the tokens `at_BT`, row by row."""

    def shift(module: nn.Module, args: tuple[Tensor, ...], output: Output) -> Output:
        states_BTD = output[0] if isinstance(output, tuple) else output
        more_BTD = shift_ND.new_zeros(states_BTD.shape).index_put(
            tuple(at_BT.nonzero().T), shift_ND
        )
        moved_BTD = states_BTD + more_BTD.to(states_BTD.dtype)
        return (moved_BTD, *output[1:]) if isinstance(output, tuple) else moved_BTD

    handle = layer.register_forward_hook(shift)
    try:
        yield
    finally:
        handle.remove()


def pulled_back(
    model: PreTrainedModel, batch: Batch, at_BT: Tensor, place: Place, share_ND: Tensor
) -> tuple[Tensor, Tensor]:
    """Keys (N, F) of a layer's output matrix at some tokens, and what it must add there (N, D).

    That is `share_ND` itself where the matrix writes into the stream. With a norm in between it is
    J^T s |s|^2 / |J^T s|^2 for each share s, whose effect on the stream along s is s, to first
    order.
    """
    with torch.no_grad():
        keys_NF = inputs(model, batch, [place.module])[0][at_BT]
    with weight_gradients({"edited": place.module}):  # so that the graph starts at the matrix
        value_BTD, stream_BTD = outputs(model, batch, [place.module, place.layer])
        effect = (wide(stream_BTD[at_BT]) * share_ND).sum()
        (slope_BTD,) = torch.autograd.grad(effect, value_BTD)
    slope_ND = slope_BTD[at_BT].to(share_ND)
    square_N = slope_ND.square().sum(1).clamp_min(torch.finfo(share_ND.dtype).tiny)
    return keys_NF, slope_ND * (share_ND.square().sum(1) / square_N)[:, None]


def _predicting(batch: Batch, first_only: bool) -> Tensor:
    """(B, T) where answer tokens are predicted from, or only where each row's first one is."""
    from_BT = F.pad(batch.labels_BT[:, 1:] != IGNORE, (0, 1))
    return from_BT & (from_BT.cumsum(1) == 1) if first_only else from_BT


def _places(given: EditInputs, config: AlphaEdit.Config) -> list[Place]:
    """The edited layers that may move, with the covariance of the keys of kept text."""
    layers, modules = decoder_layers(given.model), value_modules(given.model)
    if len(modules) != len(layers):
        raise UserError(
            f"alphaedit needs one MLP output matrix a layer; {type(given.model).__name__} has "
            f"{len(modules)} in {len(layers)} layers: choose another method"
        )
    first, last = (int(share * len(layers)) for share in (config.first, config.last))
    places = []
    for name, layer in list(zip(modules, layers, strict=True))[first : last + 1]:
        movable_DF = given.weights.movable(f"{name}.weight")
        if movable_DF.any():
            kept = Covariance(modules[name].in_features, given.model.device)
            options = (config.threshold, config.relative, config.ridge)
            places.append(Place(layer, modules[name], Memory(movable_DF, kept, *options)))
    if not places:
        raise UserError(
            f"nothing in layers {first} to {last} may move: choose other layers with "
            f"unlearn.options.alphaedit.first and .last, or another region"
        )
    _count_keys(given, places)
    return places


@torch.no_grad()
def _count_keys(given: EditInputs, places: Sequence[Place]) -> None:
    """Stream the keys of every token of retain and neutral text into the covariances."""
    modules = [place.module for place in places]
    for batch in reading_batches([*given.retain, *given.neutral], MAX_TOKENS):
        batch = batch.to(given.model.device)
        for place, keys_BTF in zip(places, inputs(given.model, batch, modules), strict=True):
            place.memory.covariance.add(keys_BTF[batch.real_BT])


@torch.no_grad()
def _add(weight: Tensor, memory: Memory, keys_NF: Tensor, wanted_ND: Tensor) -> None:
    """Add the update where the matrix may move; other entries keep their bits."""
    moved_DF = (weight.double() + memory.update(keys_NF, wanted_ND)).to(weight.dtype)
    weight.copy_(torch.where(memory.movable_DF, moved_DF, weight))
