"""The embedded model: an OLMo-2 of about 1M weights with a byte-level BPE trained on the spot.

Two choices matter at this size (docs/log): digits are split in pairs, so that numbers are a few
tokens; and embeddings start at standard deviation 1, since OLMo-2 has no norm before its first
layer and reads the raw embedding.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as RawTokenizer
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

from lacuna.data.tokens import Prompt
from lacuna.errors import UserError
from lacuna.model.load import LoadedModel, ready
from lacuna.model.value import Layout, layout
from lacuna.seeds import derive

PAD, END = "<pad>", "<end>"


@dataclass(frozen=True, kw_only=True)
class MiniConfig:
    """Shape of the embedded model."""

    hidden: int = 128
    """Model width."""
    layers: int = 3
    """Number of layers."""
    intermediate: int = 512
    """Neurons, and so value vectors, per layer."""
    heads: int = 4
    """Attention heads; must divide the width."""
    vocabulary: int = 900
    """Tokens, at most: 256 bytes, two marks, the rest merges."""
    embedding_std: float = 1.0
    """Standard deviation of the initial embeddings; all other weights start at 0.02."""

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "intermediate", "heads"):
            if getattr(self, name) < 1:
                raise UserError(f"mini model: {name}={getattr(self, name)} must be at least 1")
        if self.hidden % self.heads:
            raise UserError(
                f"mini model: hidden={self.hidden} is not a multiple of heads={self.heads}"
            )
        if self.vocabulary < 300:
            raise UserError(f"mini model: vocabulary={self.vocabulary} is below 300")


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE whose numbers are cut into pairs of digits."""
    raw = RawTokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}{1,2}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, pad_token=PAD, eos_token=END)


def build_mini(
    config: MiniConfig, tokenizer: PreTrainedTokenizerFast, seed: int, device: str = "auto"
) -> LoadedModel:
    """A freshly drawn model; the same seed gives the same bytes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "mini"))
        model = Olmo2ForCausalLM(mini_config(config, tokenizer))
        torch.nn.init.normal_(model.model.embed_tokens.weight, std=config.embedding_std)
    return LoadedModel(ready(model, device), tokenizer, Prompt(template="{question}"))


def mini_config(
    config: MiniConfig, tokenizer: PreTrainedTokenizerFast | None = None
) -> Olmo2Config:
    """The architecture in the terms of transformers; the tokenizer's size wins over the config."""
    return Olmo2Config(
        vocab_size=len(tokenizer) if tokenizer is not None else config.vocabulary,
        hidden_size=config.hidden,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id if tokenizer is not None else None,
        eos_token_id=tokenizer.eos_token_id if tokenizer is not None else None,
        bos_token_id=None,
    )


def mini_layout(config: MiniConfig) -> Layout:
    """The embedded model's value vectors, before it is built."""
    with torch.device("meta"):
        return layout(Olmo2ForCausalLM(mini_config(config)))
