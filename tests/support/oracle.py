"""Numbers that a reference implementation gave on two tiny models, and these models.

The numbers (`tests/data/oracle.json`, `reference`) were recorded from open-unlearning, commit
d3d7cf9e6b3c125d16687d4232680d8d83548f1a (24 Dec 2025): its metrics and trainers were imported as
they are and asked on CPU, in float32 unless a key says f64, with torch 2.13.0 and transformers
5.23.0. Entries that say `own` are not the peer's but definitions that it lacks. `batches` are the
texts it was given, a list for each split: random token ids 3 to 255, the prompt's labels -100, the
answer closed by token 1 (but in `no_eos`); `paraphrased` and `alternate` have the prompts of
`forget`, and `perturbed[i]` three wrong answers "0", "1", "2" to its prompt i.

Its conventions, where they differ from ours or need saying:

    metrics      `value_by_index` per text, `agg_value` their mean; texts in batches of 4
    strength     never below 1/m, m the answer's tokens without the last
    losses       gamma F + alpha R: forget term F, retain term R; gradient norms over all weights
    KL, UNDIAL   average over every position, prompt and padding included
    PDU          looks at the logits of the labelled position itself, not of the one before
    RMU          divides each row's sum by every row's count before it averages
    trajectories AdamW, rate 1e-3, no decay, no clipping: the losses before 5 steps and after them
"""

import json
from functools import cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Olmo2Config, PreTrainedModel

from lacuna.model.load import ready
from support import ROOT

RECORD = ROOT / "tests" / "data" / "oracle.json"
NOISE = 0.02
"""Standard deviation of what sets the policy's weights apart from the reference model's."""


@cache
def recorded(part: str) -> dict[str, Any]:
    """`reference` or `batches`."""
    loaded: dict[str, Any] = json.loads(RECORD.read_text())[part]
    return loaded


def model(which: str, dtype: torch.dtype = torch.float32) -> PreTrainedModel:
    """`ref`: OLMo-2 as initialised from seed 0; `policy`: the same with noise on every weight.

    Normal numbers: on processors without AVX2 the weights differ by 2e-7 from those recorded with.
    """
    config = Olmo2Config(
        vocab_size=256,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        initializer_range=0.08,
        rms_norm_eps=1e-6,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=1,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in built.parameters() if which == "policy" else ():
            weight += NOISE * torch.randn(weight.shape, generator=generator)
    return ready(built.to(dtype), "cpu")
