"""The evaluations as they are usually written: one full pass per metric, weights mixed whole.

Every pass hands the labels to the model and gets logits of the full vocabulary at all positions,
as evaluation suites built on Hugging Face models do. The definitions are those of
`lacuna.evaluate.metrics`. Shapes: B sequences, T tokens, V vocabulary, m tokens of an answer
without its closing end-of-text token.
"""

import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from lacuna.data.tokens import IGNORE, Batch, Encoded, collate
from lacuna.train import Values

Floats = NDArray[np.float64]
BATCH = 16
FRACTION = 0.4
"""Share of the lowest log-probabilities that min-k and min-k++ read."""


@torch.no_grad()
def one_pass(
    metric: Callable[[Tensor, Batch], list[float]],
    model: PreTrainedModel,
    encoded: Sequence[Encoded],
) -> Floats:
    """A metric (I,) by a pass of its own."""
    values = []
    for start in range(0, len(encoded), BATCH):
        batch = collate(encoded, range(start, min(start + BATCH, len(encoded))))
        said = model(
            input_ids=batch.ids_BT,
            attention_mask=batch.real_BT.long(),
            labels=batch.labels_BT,
            use_cache=False,
        )
        values += metric(said.logits, batch)
    return np.array(values)


def average_loss(logits_BTV: Tensor, batch: Batch) -> list[float]:
    """Mean -log p of each answer's tokens."""
    labels_BT = batch.labels_BT[:, 1:]
    scores_BVT = logits_BTV[:, :-1].transpose(1, 2)
    nll_BT = cross_entropy(scores_BVT, labels_BT, ignore_index=IGNORE, reduction="none")
    mean_B: list[float] = (nll_BT.sum(1) / (labels_BT != IGNORE).sum(1)).tolist()
    return mean_B


def probability(logits_BTV: Tensor, batch: Batch) -> list[float]:
    """p(answer)^(1/n)."""
    return [math.exp(-loss) for loss in average_loss(logits_BTV, batch)]


def zlib_loss(logits_BTV: Tensor, batch: Batch) -> list[float]:
    """Mean loss over the compressed size of the answer."""
    pairs = zip(average_loss(logits_BTV, batch), batch.labels_BT.tolist(), strict=True)
    return [loss / compressed(labels) for loss, labels in pairs]


def compressed(labels: Sequence[int]) -> int:
    """Bytes that zlib needs for a text; a token stands for one printable character here."""
    text = "".join(chr(32 + label % 95) for label in labels if label != IGNORE)
    return len(zlib.compress(text.encode()))


def _bodies(logits_BTV: Tensor, batch: Batch) -> Iterator[tuple[Tensor, Tensor]]:
    """(m, V) log-probabilities and (m,) labels of each answer without its last token."""
    logp_BTV = torch.log_softmax(logits_BTV[:, :-1], dim=-1)
    for logp_TV, labels_T in zip(logp_BTV, batch.labels_BT[:, 1:], strict=True):
        keep_T = labels_T != IGNORE
        yield logp_TV[keep_T][:-1], labels_T[keep_T][:-1]


def extraction_strength(logits_BTV: Tensor, batch: Batch) -> list[float]:
    """1 - k/m for the shortest prefix k after which all greedy predictions are right."""
    return [_strength(logp.argmax(-1) == labels) for logp, labels in _bodies(logits_BTV, batch)]


def _strength(right: Tensor) -> float:
    m = len(right)
    return 1 - next(k for k in range(m + 1) if bool(right[k:].all())) / m


def exact_memorization(logits_BTV: Tensor, batch: Batch) -> list[float]:
    """Share of right greedy predictions."""
    pairs = _bodies(logits_BTV, batch)
    return [(logp.argmax(-1) == labels).double().mean().item() for logp, labels in pairs]


def min_k(logits_BTV: Tensor, batch: Batch) -> list[float]:
    """Minus the mean of the lowest log-probabilities."""
    pairs = _bodies(logits_BTV, batch)
    return [_lowest(logp.gather(1, labels[:, None])[:, 0]) for logp, labels in pairs]


def min_k_plus_plus(logits_BTV: Tensor, batch: Batch) -> list[float]:
    """As `min_k`, standardised by mean and deviation of log p under p."""
    found = []
    p_BTV = torch.softmax(logits_BTV[:, :-1], dim=-1)
    logp_BTV = torch.log_softmax(logits_BTV[:, :-1], dim=-1)
    mean_BT = (p_BTV * logp_BTV).sum(-1)
    variance_BT = (p_BTV * (logp_BTV - mean_BT[..., None]).square()).sum(-1)
    for b, labels_T in enumerate(batch.labels_BT[:, 1:]):
        places = (labels_T != IGNORE).nonzero()[:-1, 0]
        logp = logp_BTV[b, places, labels_T[places]]
        found.append(
            _lowest((logp - mean_BT[b, places]) / variance_BT[b, places].clamp_min(1e-6).sqrt())
        )
    return found


def _lowest(scores: Tensor) -> float:
    return -float(scores.sort().values[: max(1, int(FRACTION * len(scores)))].mean())


PASSES: Mapping[str, Callable[[Tensor, Batch], list[float]]] = {
    "probability": probability,
    "extraction strength": extraction_strength,
    "exact memorization": exact_memorization,
    "loss": average_loss,
    "zlib": zlib_loss,
    "min-k": min_k,
    "min-k++": min_k_plus_plus,
}


def mix_whole(model: PreTrainedModel, start: Values, end: Values, alpha: float) -> None:
    """Load (1 - alpha) start + alpha end, every tensor of the model."""
    model.load_state_dict({n: (1 - alpha) * start[n] + alpha * end[n] for n in start})


@torch.no_grad()
def strength_by_generation(model: PreTrainedModel, encoded: Sequence[Encoded]) -> Floats:
    """ES by its definition: generate after ever longer prefixes until the rest comes out right.

    One prefix length at a time, all unresolved items in one batch; prompts must be equally long
    and answers too. The last labelled token (end of text) is no part of the answer.
    """
    ids_IT = torch.tensor([row.ids[:-1] for row in encoded])
    m = sum(label != IGNORE for label in encoded[0].labels) - 1
    head = ids_IT.shape[1] - m
    strength = np.zeros(len(encoded))
    open_items = torch.arange(len(encoded))
    for k in range(m):
        given = ids_IT[open_items, : head + k]
        said = model.generate(  # type: ignore[operator]
            input_ids=given,
            attention_mask=torch.ones_like(given),
            max_new_tokens=m - k,
            do_sample=False,
            pad_token_id=0,
        )
        right = (said == ids_IT[open_items]).all(1)
        strength[open_items[right].numpy()] = 1 - k / m
        open_items = open_items[~right]
        if not len(open_items):
            break
    return strength
