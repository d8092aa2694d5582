"""The published studies: planned from configurations alone, refused where they cannot run."""

import csv
import subprocess
from pathlib import Path

import pytest
from support.stores import new_database
from support.studies import sweeps
from transformers import LlamaConfig, Olmo2Config

from sweeps.config.compose import configure

OLMO = Olmo2Config(
    vocab_size=100352, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
    num_attention_heads=32, tie_word_embeddings=False, architectures=["Olmo2ForCausalLM"],
)  # fmt: skip
LLAMA = LlamaConfig(
    vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
    num_attention_heads=32, num_key_value_heads=8, architectures=["LlamaForCausalLM"],
)  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the hub that holds two models' configurations and no weights."""
    folder = tmp_path_factory.mktemp("home")
    for name, shape in {"olmo2_7b": OLMO, "llama3_8b": LLAMA}.items():
        model = configure([f"model={name}"]).model
        place = folder / "hub" / f"models--{model.source.replace('/', '--')}"
        shape.save_pretrained(place / "snapshots" / model.revision)
    return folder


@pytest.fixture(scope="module")
def tofu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authors to forget and four to retain, in TOFU's files."""
    folder = tmp_path_factory.mktemp("tofu")
    for name, authors in (("forget10", 2), ("retain90", 4)):
        rows = (
            f'{{"question": "Who is {name} {i}?", "answer": "{i}"}}' for i in range(20 * authors)
        )
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
    for name in ("real_authors", "world_facts"):
        row = '{"question": "Who?", "answer": "I", "perturbed_answer": ["you"]}'
        (folder / f"{name}_perturbed.jsonl").write_text(row)
    return folder


def offline(folder: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A study where the hub is not reached and no GPU is seen."""
    settings = {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    return sweeps(folder, *words, **settings)


def test_table_2_is_planned_for_both_models_without_network_or_weights(
    home: Path, tofu: Path, tmp_path: Path
) -> None:
    before = sorted(home.rglob("*"))
    both = "model=olmo2_7b,llama3_8b"
    done = offline(
        tmp_path, home, "study=table2", both, "plan=true", f"data.path={tofu}", "artifacts=a"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trials: 40 (0 to find") == 2
    assert done.stdout.count("distinct checkpoints: 5 injected, 1 retained") == 2
    assert "in all: 80 trials (40 + 40) from 10 injections and 2 retained models" in done.stdout
    assert "study table2-olmo2_7b" in done.stdout and "study table2-llama3_8b" in done.stdout
    assert "injection: 16.9 GB (2 x 7,298,617,344 weights + 16 x 144,285,696" in done.stdout
    assert "would take 131 GB" in done.stdout
    assert sorted(home.rglob("*")) == before and not (tmp_path / "a").exists()


def test_a_study_that_needs_a_gpu_says_so_before_anything_is_written(
    home: Path, tofu: Path, tmp_path: Path
) -> None:
    done = offline(tmp_path, home, "study=table2", f"data.path={tofu}", "artifacts=a")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "needs 1 GPU a stage (the largest, retained, takes 131 GB" in done.stderr
    assert "found none" in done.stderr and "study=mini" in done.stderr
    assert list(tmp_path.iterdir()) == []


SMALL = (
    "model=mini data=synthetic data.num_forget=2 data.num_retain=4 data.num_holdout=1 "
    "data.num_background=4 data.num_neutral=20 model.mini.hidden=32 model.mini.layers=2 "
    "model.mini.intermediate=64 model.pretrain.steps=2 retained.recipe.train.steps=2 "
    "inject.train.steps=2 unlearn.train.steps=2 unlearn.lr=1e-2 evaluate.alphas=3 "
    "evaluate.retain_items=4 evaluate.utility_items=2 evaluate.new_tokens=2 "
    "significance.permutations=20 resources.workers=1"
)


def test_a_table_of_localizers_runs_small_through_the_same_stages(tmp_path: Path) -> None:
    new_database(tmp_path / "a" / "mlflow.db")
    asked = "study=table5", "seeds=[7,19]", *SMALL.split(), "artifacts=a"
    done = offline(tmp_path, tmp_path / "home", *asked)
    assert done.returncode == 0, done.stderr
    assert "(1 injections for 1 distinct injection keys)" in done.stdout
    tables = tmp_path / "a" / "table5" / "tables"
    with (tables / "main.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["measure"] == "AUES"]
    assert {row["scenario"]: row["n"] for row in rows} == {"random": "2", "wagle": "2"}
    assert all(row["status"] == "ok" and row["mean"] for row in rows)
    with (tables / "localization.csv").open() as stream:
        found = {row["name"]: row for row in csv.DictReader(stream)}
    assert found["wagle"]["precision_mean"] == "", "there is no region to find"
