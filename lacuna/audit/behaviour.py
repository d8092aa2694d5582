"""What the models say and hide: extraction, hidden layers, resurfacing. This part loads them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lacuna.attack import AttackConfig, attack, gather
from lacuna.data.base import Corpus
from lacuna.data.tokens import Prompt
from lacuna.evaluate import EvaluateConfig, Evaluator, generate
from lacuna.evaluate.inspections.base import Representations
from lacuna.evaluate.rouge import rouge
from lacuna.model import LoadedModel, load_model
from lacuna.seeds import derive

UTILITY_ITEMS = 64
"""Retain questions that are answered in words, at most."""
SCORES = ("es", "em", "probability")


def behaviour(
    folders: Mapping[str, Path],
    corpus: Corpus,
    *,
    prompt: Prompt,
    dtype: str,
    attacks: AttackConfig | None,
    seed: int,
) -> dict[str, Any]:
    """Each model (name -> folder) in turn, `before` first: others are compared with its states.

    outputs: ES, EM, probability and ROUGE-L recall of greedy answers (which alone pass through the
    decoder), on forget and retain. layers: CKA with `before`, probes and logit lens, by layer, and
    gaps: what the best earlier layer has more than the last. attacks: what comes back; None skips
    them. Raises `UserError` where a model cannot be loaded or the data does not suit it.
    """
    found: dict[str, Any] = {"outputs": [], "gaps": [], "layers": [], "attacks": []}
    states: dict[str, Any] = {}
    for name, folder in folders.items():
        loaded = load_model(folder, prompt=prompt, dtype=dtype)
        config = EvaluateConfig(utility_items=UTILITY_ITEMS, representations=True)
        evaluator = Evaluator(loaded, corpus, config)
        found["outputs"].append({"model": name, **_outputs(loaded, evaluator)})
        inspection = Representations(evaluator)
        if not states:
            states = {name: inspection.look(loaded.model)}
        inspected = inspection.inspect(loaded.model, states).summary
        found["gaps"].append({"model": name, **_gaps(inspected)})
        found["layers"] += [{"model": name, **row} for row in inspected["layers"]]
        if attacks is not None:
            found["attacks"] += [
                {"model": name, **row}
                for row in _attacked(loaded, corpus, evaluator, attacks, seed)
            ]
    return found


def _outputs(loaded: LoadedModel, evaluator: Evaluator) -> dict[str, float | None]:
    measured = evaluator.measure(loaded.model)
    config = evaluator.config
    said = generate(
        loaded, evaluator.forget, new_tokens=config.new_tokens, max_tokens=config.max_tokens
    )
    words = rouge(said, [item.answer for item in evaluator.forget]).rouge_l_recall
    sides = {"forget": measured.forget, "retain": measured.retain}
    return {
        **{f"{side}_{s}": float(np.nanmean(sides[side][s])) for side in sides for s in SCORES},
        "forget_rouge": float(words.mean()),
        "retain_rouge": measured.sets["retain"].rouge,
        "utility": measured.utility,
    }


def _gaps(inspected: Mapping[str, Any]) -> dict[str, float | None]:
    """Lens: mean over facts of the best earlier layer's probability minus the last one's. Probes:
    accuracy of the best earlier layer minus that of the last."""
    gaps: dict[str, float | None] = {"lens_gap": inspected["lens_gap"]}
    for probe in ("knn", "linear"):
        by_layer = [row[probe] for row in inspected["layers"]]
        known = len(by_layer) > 1 and None not in by_layer
        gaps[f"{probe}_gap"] = max(by_layer[:-1]) - by_layer[-1] if known else None
    return gaps


def _attacked(
    loaded: LoadedModel, corpus: Corpus, evaluator: Evaluator, config: AttackConfig, seed: int
) -> list[dict[str, Any]]:
    if len({item.person for item in evaluator.forget}) < 2:
        config = replace(config, relearn_lrs=(), lora_lrs=())  # nobody would be left to measure
    seed = derive(seed, "audit", "attack")
    facts = gather(loaded, corpus, evaluator, config, seed)
    outcomes = attack(loaded.model, facts, evaluator.texts["retain"], config, seed)
    return [outcome.to_json() for outcome in outcomes]
