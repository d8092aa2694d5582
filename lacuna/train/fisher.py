"""Diagonal empirical Fisher: how much each weight matters to some texts, one text at a time.

    F_i = mean over texts of (d NLL / d theta_i)^2,   NLL = token mean over one text's answer

Squaring each text's gradient keeps F from depending on the batch; the square of a batch mean
shrinks as gradients of different texts cancel.
"""

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor

from lacuna.data.tokens import Encoded, collate
from lacuna.model.forward import Answers, answers
from lacuna.model_types import PreTrainedModel
from lacuna.train.losses import mean_nll
from lacuna.train.weights import Values


def fisher(
    model: PreTrainedModel,
    texts: Sequence[Encoded],
    squares: Callable[[], Iterable[tuple[str, Tensor]]],
    loss: Callable[[Answers], Tensor] = mean_nll,
) -> Values:
    """Mean over `texts` of what `squares` gives by name after each text's backward pass.

    `squares` reads the squared gradients, reduced as the caller likes, and clears the gradients;
    `loss` is what is differentiated.
    """
    total: Values = {}
    for text in texts:
        batch = collate([text], [0]).to(model.device)
        loss(answers(model, batch)).backward()
        for name, square in squares():
            total[name] = total[name].add_(square) if name in total else square
    return {name: value / len(texts) for name, value in total.items()}
