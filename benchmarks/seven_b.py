"""A 7B model on one GPU: injection into a tenth of its value vectors, and the 21 mixtures.

    python -m benchmarks.seven_b [--shape olmo2_7b|olmo2_1b|small] [--sequences 4] [--steps 5]

Random weights in bfloat16, and texts of random words whose numbers of tokens are those of TOFU's
forget questions (four characters a token, and a chat template of twelve). Injection accumulates
batches of 16, as published; all of it runs through the stages' own functions.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from tokenizers import Tokenizer as RawTokenizer
from tokenizers import models, pre_tokenizers
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from benchmarks._report import Part, at_least_one
from lacuna.data.base import Corpus, Example
from lacuna.data.tokens import IGNORE, Encoded, Prompt, TrainingBatches, encode_examples
from lacuna.evaluate import EvaluateConfig, Evaluator, strength_curve
from lacuna.inject import InjectConfig, inject
from lacuna.model import LoadedModel, layout
from lacuna.model.load import ready
from lacuna.region import Region, draw
from lacuna.seeds import derive, numpy_generator
from lacuna.train import RegionWeights, TrainConfig

BATCH = 16
"""Sequences of each split in an optimizer step (Lee et al.)."""
RATIO = 0.1
QUESTION = (48, 55, 61, 66, 72, 76, 82, 89, 96, 114)
ANSWER = (62, 103, 135, 154, 171, 191, 207, 227, 254, 300)
"""Characters of TOFU's forget10: its 5th, 15th, ..., 95th percentile."""
CHARACTERS, TEMPLATE = 4, 12
"""Characters a token, and tokens of a chat template: assumed."""
PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "4090": 165e12}
"""Dense bfloat16 FLOP/s that the makers state."""


@dataclass(frozen=True)
class Shape:
    """An OLMo-2, and how much is asked of it."""

    hidden: int
    intermediate: int
    layers: int
    heads: int
    vocabulary: int
    items: int = 400
    """Forget questions; as many retain questions are read."""
    needs_gpu: bool = True


SHAPES = {
    "olmo2_7b": Shape(4096, 11008, 32, 32, 100352),
    "olmo2_1b": Shape(2048, 8192, 16, 16, 100352),
    "small": Shape(64, 160, 2, 4, 500, items=20, needs_gpu=False),
}


@dataclass(frozen=True)
class Found:
    """What was measured; seconds, bytes (None without a GPU), FLOP."""

    device: str
    weights: int
    region: int
    step_seconds: list[float]
    step_flop: float
    curve_seconds: float
    curve_flop: float
    alphas: int
    full_seconds: float
    """One measurement with truth ratios and generation, of which a full curve has one an alpha."""
    inject_peak: int | None
    evaluate_peak: int | None
    static: int | None
    """Bytes held between two steps."""
    peak_flops: float | None

    def utilisation(self, flop: float, seconds: float) -> str:
        """Model FLOP/s, as a share of the device's peak where that is known."""
        rate = flop / seconds
        share = "" if self.peak_flops is None else f" = {rate / self.peak_flops:.1%} of its peak"
        return f"{rate:.3g} FLOP/s{share}"


def build(shape: Shape, seed: int, device: torch.device) -> LoadedModel:
    """Random bfloat16 weights, made where they stay, and a tokenizer with a word for each token."""
    config = Olmo2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        tie_word_embeddings=False,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    torch.manual_seed(derive(seed, "benchmark", "model"))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with device:
            model = Olmo2ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    words = {"<pad>": 0, "<end>": 1} | {f"w{i}": i for i in range(2, shape.vocabulary)}
    raw = RawTokenizer(models.WordLevel(words, unk_token="w2"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, pad_token="<pad>", eos_token="<end>")
    prompt = Prompt(template=" ".join(["w2"] * TEMPLATE) + " {question}")
    return LoadedModel(ready(model, str(device)), tokenizer, prompt)


def corpus(shape: Shape, seed: int) -> Corpus:
    """Random words in texts as long as TOFU's, with its five wrong answers and utility sets."""
    draws = numpy_generator(seed, "benchmark", "texts")

    def text(characters: tuple[int, ...]) -> str:
        length = max(1, round(draws.choice(characters) / CHARACTERS))
        return " ".join(f"w{i}" for i in draws.integers(2, shape.vocabulary, length))

    def item(name: str, number: int) -> Example:
        return Example(
            id=f"{name}-{number}",
            question=text(QUESTION),
            answer=text(ANSWER),
            person=f"{name}-{number // 20}",
            field=f"q{number % 20}",
            paraphrased_answer=text(ANSWER),
            perturbed_answers=tuple(text(ANSWER) for _ in range(5)),
        )

    def items(name: str) -> list[Example]:
        return [item(name, number) for number in range(shape.items)]

    utility = {"authors": items("author")[: shape.items // 4], "world": items("world")}
    utility["world"] = utility["world"][: shape.items // 4]
    return Corpus(name="random", forget=items("forget"), retain=items("retain"), utility=utility)


def measure(
    shape: Shape, *, sequences: int, steps: int, alphas: int, seed: int, device: torch.device
) -> Found:
    """`steps` timed injection steps after one of warm-up, a curve, and one full measurement."""
    loaded, facts = build(shape, seed, device), corpus(shape, seed)
    model = loaded.model
    region = draw(layout(model), RATIO, seed)
    start = RegionWeights(model, region).read()
    laps, static = _inject(loaded, facts, region, sequences, steps, seed)
    inject_peak = _peak(device)
    evaluator = Evaluator(
        loaded, facts, EvaluateConfig(alphas=alphas, new_tokens=100, wrong_answers=5)
    )
    weights = RegionWeights(model, region)
    with _clock(device) as curve:
        strength_curve(evaluator, model, weights, start, weights.read())
    with _clock(device) as full:
        evaluator.measure(model)
    read = [text for name in ("forget", "retain") for text in evaluator.texts[name]]
    return Found(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU",
        weights=model.num_parameters(),
        region=sum(value.numel() for value in start.values()),
        step_seconds=laps[1:],
        step_flop=2 * flop(model, step_texts(loaded, facts, steps, seed)) / steps,
        curve_seconds=curve[0],
        curve_flop=alphas * flop(model, read),
        alphas=alphas,
        full_seconds=full[0],
        inject_peak=inject_peak,
        evaluate_peak=_peak(device),
        static=static,
        peak_flops=peak_flops(torch.cuda.get_device_name(device))
        if device.type == "cuda"
        else None,
    )


def _inject(
    loaded: LoadedModel, facts: Corpus, region: Region, sequences: int, steps: int, seed: int
) -> tuple[list[float], int | None]:
    """Seconds of each step, the first one for warm-up, and bytes held between two."""
    train = TrainConfig(
        steps=steps + 1,
        lr=1e-4,
        weight_decay=0.01,
        batch_size=sequences,
        accumulation=BATCH // sequences,
        checkpointing=True,
    )
    device, laps, held = loaded.model.device, [time.perf_counter()], [0]

    def lap(step: int, metrics: Mapping[str, float]) -> None:
        _wait(device)
        laps.append(time.perf_counter())
        if device.type == "cuda":
            held[0] = torch.cuda.memory_allocated(device)

    forget, retain = (
        encode_examples(loaded.tokenizer, loaded.prompt, items)
        for items in (facts.forget, facts.retain)
    )
    inject(loaded.model, region, forget, retain, InjectConfig(train=train), seed, on_step=lap)
    return list(np.diff(laps)), held[0] or None


def step_texts(loaded: LoadedModel, facts: Corpus, steps: int, seed: int) -> list[Encoded]:
    """As many texts of each split as `steps` steps read."""
    texts = []
    for items in (facts.forget, facts.retain):
        encoded = encode_examples(loaded.tokenizer, loaded.prompt, items)
        batches = TrainingBatches(encoded, BATCH, seed)
        rows = [int(i) for step in range(steps) for i in batches[step].index_B]
        texts += [encoded[i] for i in rows]
    return texts


def flop(model: PreTrainedModel, texts: list[Encoded]) -> float:
    """Of one pass forward: two a weight and token, the head at labelled tokens only.

    Backward as much again, for activations; what the region's own gradients, recomputation and
    padding cost is not counted, so that utilisation errs on the low side.
    """
    embedded = model.get_input_embeddings().weight.numel()
    head = model.get_output_embeddings().weight.numel()
    inner = model.num_parameters() - embedded - head
    tokens = sum(len(text.ids) for text in texts)
    labelled = sum(label != IGNORE for text in texts for label in text.labels[1:])
    return 2.0 * (inner * tokens + head * labelled)


def peak_flops(name: str) -> float | None:
    """The device's peak by its name, None where it is not known."""
    return next((peak for part, peak in PEAKS.items() if part in name), None)


def _peak(device: torch.device) -> int | None:
    """Most bytes allocated since the last call."""
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    return peak


@contextmanager
def _clock(device: torch.device) -> Iterator[list[float]]:
    """Puts the block's seconds into the list it gives."""
    seconds: list[float] = []
    began = time.perf_counter()
    yield seconds
    _wait(device)
    seconds.append(time.perf_counter() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(name: str, sequences: int, found: Found) -> str:
    """Everything as a table."""
    part = Part(f"{name}, random weights, bfloat16, on {found.device}")
    part.add("weights, of the region", f"{found.weights:,}, {found.region:,}")
    part.add("2 N + 16 k", _gigabytes(2 * found.weights + 16 * found.region))
    part.add("held between two steps", _gigabytes(found.static))
    part.add(f"injection, peak ({sequences} sequences at a time)", _gigabytes(found.inject_peak))
    median = float(np.median(found.step_seconds))
    spread = f"{min(found.step_seconds):.3g} to {max(found.step_seconds):.3g}"
    part.add("injection step, median", f"{median:.3g} s ({spread}, n = {len(found.step_seconds)})")
    part.add("injection step", found.utilisation(found.step_flop, median))
    part.add(f"FS-RS curve, {found.alphas} alphas", f"{found.curve_seconds:.3g} s")
    part.add("FS-RS curve", found.utilisation(found.curve_flop, found.curve_seconds))
    part.add("for plan=true", f"resources.flops={found.curve_flop / found.curve_seconds:.2g}")
    part.add("one full measurement", f"{found.full_seconds:.3g} s")
    part.add("evaluation, peak", _gigabytes(found.evaluate_peak))
    return part.text()


def _gigabytes(size: int | None) -> str:
    return "not measured on a CPU" if size is None else f"{size / 1e9:.2f} GB"


def main() -> None:
    """Parse the command line, run, print; without a GPU one line, and exit status 2."""
    parser = argparse.ArgumentParser(description="A 7B model on one GPU.")
    parser.add_argument("--shape", choices=SHAPES, default="olmo2_7b")
    parser.add_argument(
        "--sequences", type=int, choices=(1, 2, 4, 8, 16), default=4, help="at a time (4)"
    )
    parser.add_argument("--steps", type=at_least_one, default=5, help="timed injection steps (5)")
    parser.add_argument("--alphas", type=int, default=21, help="mixtures (21)")
    parser.add_argument("--seed", type=int, default=0, help="weights, texts and region (0)")
    given = parser.parse_args()
    shape = SHAPES[given.shape]
    if shape.needs_gpu and not torch.cuda.is_available():
        print(
            f"error: --shape {given.shape} needs a CUDA GPU, none was found: run it where there is "
            f"one, or --shape small on a CPU",
            file=sys.stderr,
        )
        sys.exit(2)
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    found = measure(
        shape,
        sequences=given.sequences,
        steps=given.steps,
        alphas=given.alphas,
        seed=given.seed,
        device=device,
    )
    print(describe(given.shape, given.sequences, found))


if __name__ == "__main__":
    main()
