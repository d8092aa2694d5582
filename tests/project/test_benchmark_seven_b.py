"""Memory of compact injection, and the benchmark of it at 7B on a small shape."""

import gc
from dataclasses import replace

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks import seven_b
from lacuna.data.tokens import encode_examples
from lacuna.inject import InjectConfig, inject
from lacuna.model import layout
from lacuna.region import draw
from lacuna.train import TrainConfig

CPU = torch.device("cpu")
SHAPES = {
    "wide": seven_b.Shape(256, 704, 3, 4, 800, items=4, needs_gpu=False),
    "deep": seven_b.Shape(96, 512, 12, 4, 400, items=4, needs_gpu=False),
}


def live() -> int:
    """Bytes of all tensors that anybody holds, shared memory once."""
    gc.collect()
    held = {}
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor) and not isinstance(thing, torch._subclasses.FakeTensor):
            storage = thing.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
    return sum(held.values())


@pytest.mark.parametrize("name", SHAPES)
def test_compact_injection_holds_two_bytes_a_weight_and_sixteen_a_region_weight(name: str) -> None:
    before, sizes = live(), []
    loaded, facts = seven_b.build(SHAPES[name], 0, CPU), seven_b.corpus(SHAPES[name], 0)
    region = draw(layout(loaded.model), 0.1, 0)
    texts = encode_examples(loaded.tokenizer, loaded.prompt, facts.forget)
    train = TrainConfig(steps=1, batch_size=2, checkpointing=True, lr=1e-3)
    hook = register_optimizer_step_post_hook(lambda *_: sizes.append(live() - before))
    try:
        inject(loaded.model, region, texts, texts, InjectConfig(train=train), 0)
    finally:
        hook.remove()
    weights = loaded.model.num_parameters()
    trained = sum(len(c) * region.layout.shapes[n][0] for n, c in region.columns.items())
    assert sizes[0] == pytest.approx(2 * weights + 16 * trained, rel=0.05)
    assert sizes[0] < 0.2 * 18 * weights, "far from what gradients of all weights would take"


def test_the_small_shape_runs_on_a_cpu_and_says_what_it_did_not_measure() -> None:
    shape = replace(seven_b.SHAPES["small"], items=4)
    found = seven_b.measure(shape, sequences=8, steps=2, alphas=2, seed=0, device=CPU)
    assert len(found.step_seconds) == 2 and min(found.step_seconds) > 0
    assert found.region == 32 * 64  # a tenth of 2 x 160 vectors
    assert found.curve_flop > 0 and found.inject_peak is None
    text = seven_b.describe("small", 8, found)
    assert "not measured on a CPU" in text and "n = 2" in text


def test_work_is_two_operations_a_weight_and_token_with_the_head_at_labels_only() -> None:
    loaded = seven_b.build(SHAPES["wide"], 0, CPU)
    (text,) = encode_examples(
        loaded.tokenizer, loaded.prompt, seven_b.corpus(SHAPES["wide"], 0).forget[:1]
    )
    head = 256 * 800
    inner = loaded.model.num_parameters() - 2 * head
    labelled = sum(label >= 0 for label in text.labels)
    assert seven_b.flop(loaded.model, [text]) == 2 * (inner * len(text.ids) + head * labelled)
    assert seven_b.peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert seven_b.peak_flops("some other card") is None


def test_without_a_gpu_one_line_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["seven_b"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        seven_b.main()
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "--shape small" in said
