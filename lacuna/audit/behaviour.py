"""How the models behave: extraction, hidden layers, attacks. The only part of an audit that loads
them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lacuna.attack import AttackConfig, attack, gather
from lacuna.data.base import Corpus
from lacuna.data.tokens import Prompt
from lacuna.evaluate import EvaluateConfig, Evaluator, generate
from lacuna.evaluate.inspections.base import Representations, States
from lacuna.evaluate.rouge import rouge
from lacuna.model import LoadedModel, load_model
from lacuna.results import AttackRecord, BehaviourRecord, GapRow, OutputRow, RepresentationsRecord
from lacuna.seeds import derive

UTILITY_ITEMS = 64
"""Retain questions that are answered in words, at most."""


def behaviour(
    folders: Mapping[str, Path],
    corpus: Corpus,
    *,
    prompt: Prompt,
    dtype: str,
    attacks: AttackConfig | None,
    seed: int,
) -> BehaviourRecord:
    """Each model (name -> folder) in turn, `before` first: others are compared with its states.

    outputs: ES, EM, probability and ROUGE-L recall of greedy answers (which alone pass through the
    decoder), on forget and retain. layers: CKA with `before`, probes and logit lens, by layer, and
    gaps: what the best earlier layer has more than the last. attacks: what comes back; None skips
    them. Raises `UserError` where a model cannot be loaded or the data does not suit it.
    """
    found: BehaviourRecord = {"outputs": [], "gaps": [], "layers": [], "attacks": []}
    states: dict[str, States] = {}
    for name, folder in folders.items():
        loaded = load_model(folder, prompt=prompt, dtype=dtype, attention="auto")
        config = EvaluateConfig(utility_items=UTILITY_ITEMS, representations=True)
        evaluator = Evaluator(loaded, corpus, config)
        found["outputs"].append(_outputs(name, loaded, evaluator))
        inspection = Representations(evaluator)
        if not states:
            states = {name: inspection.look(loaded.model)}
        inspected = inspection.inspect(loaded.model, states).summary
        found["gaps"].append(_gaps(name, inspected))
        found["layers"] += [{"model": name, **row} for row in inspected["layers"]]
        if attacks is not None:
            found["attacks"] += [
                {"model": name, **row}
                for row in _attacked(loaded, corpus, evaluator, attacks, seed)
            ]
    return found


def _outputs(name: str, loaded: LoadedModel, evaluator: Evaluator) -> OutputRow:
    measured = evaluator.measure(loaded.model)
    config = evaluator.config
    said = generate(
        loaded, evaluator.forget, new_tokens=config.new_tokens, max_tokens=config.max_tokens
    )
    words = rouge(said, [item.answer for item in evaluator.forget]).rouge_l_recall
    forget, retain = measured.forget, measured.retain
    return {
        "model": name,
        "forget_es": float(np.nanmean(forget["es"])),
        "forget_em": float(np.nanmean(forget["em"])),
        "forget_probability": float(np.nanmean(forget["probability"])),
        "retain_es": float(np.nanmean(retain["es"])),
        "retain_em": float(np.nanmean(retain["em"])),
        "retain_probability": float(np.nanmean(retain["probability"])),
        "forget_rouge": None if np.isnan(words).all() else float(np.nanmean(words)),
        "retain_rouge": measured.sets["retain"].rouge,
        "utility": measured.utility,
    }


def _gaps(name: str, inspected: RepresentationsRecord) -> GapRow:
    """Lens: mean over facts of the best earlier layer's probability minus the last one's. Probes:
    accuracy of the best earlier layer minus that of the last."""
    return {
        "model": name,
        "lens_gap": inspected["lens_gap"],
        "knn_gap": _gap([row["knn"] for row in inspected["layers"]]),
        "linear_gap": _gap([row["linear"] for row in inspected["layers"]]),
    }


def _gap(by_layer: Sequence[float | None]) -> float | None:
    """The best earlier layer minus the last; None where one of them is undefined."""
    known = [value for value in by_layer if value is not None]
    return max(known[:-1]) - known[-1] if len(known) == len(by_layer) > 1 else None


def _attacked(
    loaded: LoadedModel, corpus: Corpus, evaluator: Evaluator, config: AttackConfig, seed: int
) -> list[AttackRecord]:
    if len({item.person for item in evaluator.forget}) < 2:
        config = replace(config, relearn_lrs=(), lora_lrs=())  # nobody would be left to measure
    seed = derive(seed, "audit", "attack")
    facts = gather(loaded, corpus, evaluator, config, seed)
    outcomes = attack(loaded.model, facts, evaluator.texts["retain"], config, seed)
    return [outcome.to_json() for outcome in outcomes]
