"""Part 11: how long a checkpoint takes: written, hashed, read to the device."""

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import AutoModelForCausalLM

from benchmarks import seven_b
from benchmarks.gpu.check import Check, Checks, Setting, clock, holds


def checks(setting: Setting) -> Checks:
    """Seconds and gigabytes a second of each way."""
    shape = seven_b.SHAPES["small" if setting.tiny else "olmo2_7b"]
    model = seven_b.build(shape, 0, setting.device).model
    with TemporaryDirectory() as root:
        folder = Path(root)
        with clock(setting) as seconds:
            model.save_pretrained(folder)
        files = sorted(folder.glob("*.safetensors"))
        size = sum(file.stat().st_size for file in files)
        yield Check("size", size / 1e9, "GB")
        yield Check("written", seconds[0], "s")
        with clock(setting) as seconds:
            for file in files:
                with file.open("rb") as opened:
                    hashlib.file_digest(opened, "sha256")
        yield Check("hashed", seconds[0], "s")
        expected = {name: weight.cpu() for name, weight in model.named_parameters()}
        del model
        for title, how in (
            ("read, then moved", {}),
            ("read to its place", {"device_map": {"": setting.device}}),
        ):
            with clock(setting) as seconds:
                found = AutoModelForCausalLM.from_pretrained(
                    folder, dtype="auto", trust_remote_code=False, **how
                ).to(setting.device)
            yield Check(title, seconds[0], "s")
            same = all(w.cpu().equal(expected[n]) for n, w in found.named_parameters())
            yield holds(f"{title}: weights", same, "bit-equal")
            del found
