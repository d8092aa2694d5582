"""The audit of a large sharded checkpoint pair: memory, and time against only reading the files.

    python -m benchmarks.audit [--bytes 2e9] [--dtypes bfloat16,float32] [--repeats 3] [--region]

Writes two checkpoints of random weights, each of `--bytes` in shards of a quarter, then reads them
and audits them in turn, each time in a fresh process and, cold, after the system was told to forget
their pages. `--region` also scores them against random masks of 6.5% a group (a second table; no
promise). Exit status 1 if the memory promise is broken; time is only shown, as it depends on the
machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks._report import Part, at_least_one, median, names

HIDDEN, WIDE, VOCABULARY = 2048, 8192, 50_304
"""Those of OLMo-2 1B, with half its vocabulary: the embedding is the largest tensor."""
ROOM = 500_000_000
"""Bytes beyond 1.5 times the working set of the largest tensor: interpreter and libraries."""
SLOWDOWN = 3.0
"""How often reading the files may fit into the time of an audit."""
TYPES = {"bfloat16": 2, "float32": 4}
"""Bytes a weight."""
SHARDS = 4
CHUNK = 2**23
LAYER = {
    **{f"self_attn.{leaf}_proj": (HIDDEN, HIDDEN) for leaf in "qkvo"},
    "mlp.gate_proj": (WIDE, HIDDEN),
    "mlp.up_proj": (WIDE, HIDDEN),
    "mlp.down_proj": (HIDDEN, WIDE),
}


def shapes(weights: int) -> dict[str, tuple[int, ...]]:
    """Tensors of at least `weights` weights: an embedding, and as many layers as it takes."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN)}
    left, layer = weights - VOCABULARY * HIDDEN, 0
    while left > 0:
        for leaf, shape in LAYER.items():
            found[f"model.layers.{layer}.{leaf}.weight"] = shape
            left -= shape[0] * shape[1]
        layer += 1
    return found


def write(folder: Path, tensors: dict[str, tuple[int, ...]], dtype: str, step: float) -> None:
    """One checkpoint in shards: repeated normal numbers, moved by `step` times others."""
    import torch
    from safetensors.torch import save_file

    from lacuna.seeds import torch_generator

    folder.mkdir()
    config = {"architectures": ["Olmo2ForCausalLM"], "model_type": "olmo2"}
    (folder / "config.json").write_text(json.dumps(config))
    weights, moves = (
        torch.randn(2**20 + 7, generator=torch_generator(0, "benchmark", what)) for what in "wm"
    )
    pattern = (0.02 * weights + step * moves).to(getattr(torch, dtype))
    files, order = {}, list(tensors)
    for shard in range(SHARDS):
        file, held = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors", {}
        for name in order[shard * len(order) // SHARDS : (shard + 1) * len(order) // SHARDS]:
            rows, columns = tensors[name]
            times = -(-rows * columns // len(pattern))
            held[name] = pattern.repeat(times)[: rows * columns].reshape(rows, columns)
            files[name] = file
        save_file(held, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


def forget_pages(folder: Path) -> None:
    """Ask the system to drop the files from its cache."""
    for file in folder.rglob("*.safetensors"):
        with file.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def child(way: str, folder: Path) -> None:
    """Do it, and say how long it took and how much memory this process held at most."""
    from lacuna.audit.__main__ import parser, run

    words = ["--before", folder / "before", "--after", folder / "after", "--out", folder / "out"]
    given = parser().parse_args([str(word) for word in words])
    if way == "region":
        given.region = folder / "masks.safetensors"
    import lacuna.audit.summary  # noqa: F401  (what an audit imports is not its work)

    start = time.perf_counter()
    if way == "read":
        buffer = memoryview(bytearray(CHUNK))
        for file in sorted(folder.glob("*/*.safetensors")):
            with file.open("rb", buffering=0) as stream:
                while stream.readinto(buffer):
                    pass
    else:
        run(given)
    seconds = time.perf_counter() - start
    # Not ru_maxrss: that remembers the process that started this one.
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()
    print(json.dumps({"seconds": seconds, "peak": 1024 * int(status[0])}))


def measured(way: str, folder: Path, cold: bool) -> tuple[float, int]:
    """(seconds, peak bytes) of a fresh process."""
    if cold:
        forget_pages(folder)
    words = [sys.executable, "-m", "benchmarks.audit", "--child", way, "--folder", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return found["seconds"], found["peak"]


def report(folder: Path, dtype: str, given: argparse.Namespace) -> Iterator[Part]:
    """One pair of checkpoints: the table of the promise, then that of the region."""
    tensors = shapes(int(given.bytes) // TYPES[dtype])
    for name, step in (("before", 0.0), ("after", 1e-3)):
        write(folder / name, tensors, dtype, step)
    sizes = [rows * columns * TYPES[dtype] for rows, columns in tensors.values()]
    allowed = 1.5 * 2 * max(sizes) + ROOM
    part = Part(
        f"{dtype}: 2 x {sum(sizes) / 1e9:.2f} GB in {SHARDS} shards each, n={given.repeats}"
    )
    part.add("largest tensor", f"{max(sizes) / 1e6:.0f} MB, in both: {2 * max(sizes) / 1e6:.0f} MB")
    for cold in (True, False):
        label = "cold" if cold else "cached"
        times: dict[str, list[float]] = {"read": [], "audit": []}
        peaks = []
        for _ in range(given.repeats):
            for way, found in times.items():
                seconds, peak = measured(way, folder, cold)
                found.append(seconds)
                if way == "audit":
                    peaks.append(peak)
        ratios = [b / a for a, b in zip(times["read"], times["audit"], strict=True)]
        for way, found in times.items():
            part.add(f"{way}, {label}, median (max)", median(found))
        word = "within" if sorted(ratios)[len(ratios) // 2] <= SLOWDOWN else "MISSED"
        part.add(f"audit / read, {label}", f"{median(ratios, unit='x')}, {word} {SLOWDOWN:g} x")
        part.add(f"peak memory, {label}", f"{max(peaks) / 1e6:.0f} MB of {allowed / 1e6:.0f} MB")
        if max(peaks) > allowed:
            part.violations.append(f"peak memory {max(peaks) / 1e6:.0f} MB, {label}")
    yield part
    if given.region:
        yield _region(folder, tensors)


def _region(folder: Path, tensors: dict[str, tuple[int, ...]]) -> Part:
    from lacuna.region import draw_masks

    scored = {name: shape for name, shape in tensors.items() if "layers" in name}
    masks = draw_masks("Olmo2ForCausalLM", scored, groups=6, share=0.065, seed=0)
    masks.save(folder / "masks.safetensors")
    seconds, peak = measured("region", folder, cold=False)
    part = Part("with masks: every score, two truths, two nulls, n=1")
    part.add("seconds, cached", f"{seconds:.0f}")
    part.add("peak memory", f"{peak / 1e6:.0f} MB")
    return part


def main() -> int:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(description="Memory and time of an audit.")
    parser.add_argument("--bytes", type=float, default=2e9, help="of each checkpoint (2e9)")
    parser.add_argument("--dtypes", **names(TYPES))
    parser.add_argument("--repeats", type=at_least_one, default=3, help="of each way (3)")
    parser.add_argument("--region", action="store_true", help="also against random masks")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child, given.folder)
        return 0
    broken = 0
    for dtype in given.dtypes:
        with tempfile.TemporaryDirectory(prefix="lacuna-") as folder:
            for part in report(Path(folder), dtype, given):
                print(part.text(), flush=True)
                broken += len(part.violations)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
