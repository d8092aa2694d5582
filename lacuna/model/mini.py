"""The embedded model: an OLMo-2 of about 1M weights with a byte-level BPE trained on the spot.

Two choices matter at this size (docs/log): digits are split in pairs, so that numbers are a few
tokens; and embeddings start at standard deviation 1, since OLMo-2 has no norm before its first
layer and reads the raw embedding.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from tokenizers import Regex, decoders, models, pre_tokenizers, trainers
from tokenizers import Tokenizer as RawTokenizer

from lacuna.data.tokens import Prompt
from lacuna.errors import UserError
from lacuna.model.load import LoadedModel, ready
from lacuna.model.value import Layout
from lacuna.model_types import PreTrainedTokenizerFast
from lacuna.seeds import derive

if TYPE_CHECKING:
    from transformers import Olmo2Config

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
    from transformers import PreTrainedTokenizerFast

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
    from transformers import Olmo2ForCausalLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "mini"))
        model = Olmo2ForCausalLM(mini_config(config, tokenizer))
        torch.nn.init.normal_(model.model.embed_tokens.weight, std=config.embedding_std)
    return LoadedModel(ready(model, device), tokenizer, Prompt(template="{question}"))


def mini_config(
    config: MiniConfig, tokenizer: PreTrainedTokenizerFast | None = None
) -> "Olmo2Config":
    """The architecture in the terms of transformers; the tokenizer's size wins over the config."""
    from transformers import Olmo2Config

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
    """The embedded model's value vectors and weights, without transformers: to plan is quick."""
    wide, deep, words = config.hidden, config.intermediate, config.vocabulary
    weights: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, wide)}
    for number in range(config.layers):
        layer = f"model.layers.{number}"
        weights |= {f"{layer}.self_attn.{one}_proj.weight": (wide, wide) for one in "qkvo"}
        weights |= {f"{layer}.self_attn.{one}_norm.weight": (wide,) for one in "qk"}
        weights |= {f"{layer}.mlp.{one}_proj.weight": (deep, wide) for one in ("gate", "up")}
        weights[f"{layer}.mlp.down_proj.weight"] = (wide, deep)
        norms = ("post_attention_layernorm", "post_feedforward_layernorm")
        weights |= {f"{layer}.{one}.weight": (wide,) for one in norms}
    weights |= {"model.norm.weight": (wide,), "lm_head.weight": (words, wide)}
    modules = [f"model.layers.{number}.mlp.down_proj" for number in range(config.layers)]
    return Layout("Olmo2ForCausalLM", dict.fromkeys(modules, (wide, deep)), weights)
