"""What methods say of their own cost, so that a plan can add it up before anything is trained.

Work is counted in passes: one token read once by the whole model, 2 N FLOP for N weights. A method
is told how large its texts are (`Workload`) and answers with a number of passes. Memory is counted
in copies of the weights that a method works on; each kind of method says which, and how wide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

READ = 1.0
"""Passes per token that a model reads."""
REGION = 2.0
"""Passes per token of a gradient that few weights need: reading, and the way back."""
ALL = 3.0
"""Passes per token of a gradient that all weights need."""


@dataclass(frozen=True)
class Texts:
    """The size of a set of texts."""

    count: int
    tokens: float
    """Of all of them together."""

    @classmethod
    def of(cls, lengths: Sequence[float]) -> "Texts":
        """Texts of these numbers of tokens."""
        return cls(len(lengths), sum(lengths))

    def some(self, count: int) -> float:
        """Tokens of `count` of the texts, or of all where there are fewer."""
        return self.drawn(min(count, self.count))

    def drawn(self, count: int) -> float:
        """Tokens of `count` texts drawn from these, as training reads them again and again."""
        return self.tokens * count / self.count if self.count else 0.0


@dataclass(frozen=True)
class Workload:
    """The texts that methods read, and the number of layers of the model."""

    forget: Texts
    retain: Texts
    refusals: Texts
    """The forget questions, each with one refusal."""
    neutral: Texts
    layers: int
