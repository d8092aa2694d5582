"""Types of models and tokenizers, for annotations: importing transformers takes seconds.

What plans, looks up or reports needs none of it. Who makes or loads a model imports transformers
in the function that does; when this file runs, a name stands for a class that the real one extends.
"""

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast
else:
    PreTrainedModel = nn.Module
    PreTrainedTokenizerBase = PreTrainedTokenizerFast = object

__all__ = ["PreTrainedModel", "PreTrainedTokenizerBase", "PreTrainedTokenizerFast"]
