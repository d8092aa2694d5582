"""Numbers from the evaluation logs that TOFU publishes of Llama-2-7B (MIT licence), without texts.

Per item of four sets: mean -log p of the answer, of its paraphrase and of each wrong answer, and
ROUGE-L recall of what was generated; for the model that learned everything (`full`) and the one
that never saw the forget set (`retain90`). Made from a folder with `llama2-7b_MODEL.json` by

    PYTHONPATH=.:tests python -m support.tofu_logs FOLDER
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from lacuna.tensors import load_tensors, save_tensors
from support import ROOT

RECORD = ROOT / "tests" / "data" / "tofu_logs.safetensors"
MODELS = ("full", "retain90")
SETS = ("forget", "retain", "real_authors", "world_facts")
LOSSES = ("avg_gt_loss", "avg_paraphrased_loss", "average_perturb_loss")
RECALL = "rougeL_recall"
Logs = dict[str, dict[str, np.ndarray]]
"""Set -> name in the log -> values of all items."""


def extract(folder: Path, model: str) -> Logs:
    """Read a published log; its losses are float32."""
    log = json.loads((folder / f"llama2-7b_{model}.json").read_text())
    kinds = {**dict.fromkeys(LOSSES, np.float32), RECALL: np.float64}
    return {s: {name: np.array(log[s][name], kind) for name, kind in kinds.items()} for s in SETS}


def recorded(model: str) -> Logs:
    """The same from the record, as float64."""
    tensors, _ = load_tensors(RECORD)
    return {
        s: {name: tensors[f"{model}.{s}.{name}"].double().numpy() for name in (*LOSSES, RECALL)}
        for s in SETS
    }


if __name__ == "__main__":
    found = {
        f"{model}.{s}.{name}": torch.from_numpy(values)
        for model in MODELS
        for s, log in extract(Path(sys.argv[1]), model).items()
        for name, values in log.items()
    }
    save_tensors(RECORD, found)
