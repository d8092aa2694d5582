"""Masked training in two processes: the step is that of one."""

import socket
from pathlib import Path

import pytest
import torch
from support.tiny import same_bits, state, tiny_model, tiny_texts
from torch import distributed, multiprocessing
from transformers import PreTrainedModel

from lacuna.inject import DropoutConfig, MaskConfig, MaskedConfig, inject_masked
from lacuna.tensors import load_tensors, save_tensors

MASKS = MaskConfig(groups=3, forget_groups=(0, 2))
GROUPS = {g: tiny_texts(4, seed=g + 1) for g in range(3)}
CONFIG = MaskedConfig(
    cycles=3,
    lr=0.05,
    batch_size=2,
    neutral_size=2,
    warmup=0,
    accumulation=2,
    groups_per_step=3,
    weight_decay=0.1,
    dropout=DropoutConfig(rate=0.3),
)
"""Each step has 6 batches of facts, then 2 of neutral text: 3 and 1 a process."""


def injected() -> PreTrainedModel:
    model = tiny_model()
    masks = MASKS.draw(model, 0.1, seed=1)
    inject_masked(model, masks, GROUPS, tiny_texts(6, seed=9), (0, 2), CONFIG, seed=0)
    return model


def _worker(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    where = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
    save_tensors(folder / f"{rank}.safetensors", injected().state_dict())
    distributed.destroy_process_group()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_two_processes_take_the_step_of_one(tmp_path: Path, unused_port: int) -> None:
    """ProcessGroup hold different groups in the same step: each group's gradient is its own."""
    multiprocessing.spawn(_worker, args=(unused_port, tmp_path), nprocs=2)
    alone, before = injected(), state(tiny_model())
    found = [load_tensors(tmp_path / f"{rank}.safetensors")[0] for rank in range(2)]
    for name, weight in alone.state_dict().items():
        assert same_bits(found[0][name], found[1][name]), "both processes hold the same model"
        torch.testing.assert_close(found[0][name], weight, rtol=1e-4, atol=1e-5)
        if name != "model.embed_tokens.weight":
            assert not torch.equal(weight, before[name])
