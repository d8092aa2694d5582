"""Runs the parts, a process each, and writes the summary."""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import torch

from benchmarks._report import names
from benchmarks.gpu.check import Part, Setting

LIMITS: Mapping[str, int] = {
    "environment": 60,
    "equality": 240,
    "precision": 60,
    "determinism": 60,
    "syncs": 60,
    "masks": 120,
    "whole": 180,
    "shapes": 240,
    "reading": 180,
    "memory": 120,
    "loading": 120,
}
"""Part -> seconds until it is stopped, most valuable first."""


def main(words: Sequence[str]) -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description="Acceptance kit for one accelerator.")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--part", **names(LIMITS))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--here", action="store_true", help="run one part in this process")
    given = parser.parse_args(words)
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: no GPU that torch can use: give --device cpu --size tiny")
    given.out.mkdir(parents=True, exist_ok=True)
    setting = Setting(torch.device(given.device), given.size == "tiny")
    if given.here:
        for name in given.part:
            run(name, setting, given.out)
        return 0
    ended = {name: _spawn(name, given) for name in given.part}
    text, failed = summary(setting.name, given.out, ended)
    (given.out / "summary.md").write_text(text)
    print(text)
    return int(failed)


def run(name: str, setting: Setting, out: Path) -> None:
    """One part in this process; each check is written as soon as it is known."""
    part: Part = import_module(f"benchmarks.gpu.{name}").checks
    with (out / f"{name}.jsonl").open("w") as file:
        for check in part(setting):
            print(check.line(), file=file, flush=True)
            print(f"{name}: {check.line()}", flush=True)


def _spawn(name: str, given: argparse.Namespace) -> str:
    """Run a part in a process; how it ended, in words: empty where all is well."""
    command = [sys.executable, "-m", "benchmarks.gpu", "--here", "--part", name]
    command += ["--out", str(given.out), "--device", given.device, "--size", given.size]
    (given.out / f"{name}.jsonl").unlink(missing_ok=True)
    environment = {
        **os.environ,
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True",
    }
    try:
        with (given.out / f"{name}.err").open("w") as errors:
            status = subprocess.run(
                command, timeout=LIMITS[name], stderr=errors, env=environment
            ).returncode
    except subprocess.TimeoutExpired:
        return f"stopped after {LIMITS[name]} s"
    return f"exit status {status}: see {name}.err" if status else ""


def summary(card: str, out: Path, ended: Mapping[str, str]) -> tuple[str, bool]:
    """All checks as a table in Markdown, and whether a promise was broken or a part did not end."""
    lines = [f"# Acceptance kit on {card}, torch {torch.__version__}\n"]
    lines += ["| part | check | value | promised | kept |", "|---|---|---|---|---|"]
    failed = False
    for name, how in ended.items():
        path = out / f"{name}.jsonl"
        checks = (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )
        for check in checks:
            value, kept = check["value"], check["kept"]
            failed |= kept is False
            shown = f"{value:.4g}" if type(value) is float else str(value)
            verdict = {True: "yes", False: "NO", None: ""}[kept]
            cells = [name, check["name"], f"{shown} {check['unit']}", check["bound"], verdict]
            lines.append(f"| {' | '.join(cells)} |")
        if how:
            failed = True
            lines.append(f"| {name} | did not end | {how} |  | NO |")
    return "\n".join(lines) + "\n", failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
