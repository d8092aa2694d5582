"""Optional inspections of a model (membership, representations), which cost further passes.

An inspection first reads the models that it compares with (`retained`, `injected`), one at a time,
and keeps what it needs of each; then it inspects a model. Shapes: L layers, I items, D width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypedDict, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from lacuna.data.tokens import Encoded
from lacuna.evaluate import metrics
from lacuna.evaluate.evaluator import Evaluator, spread
from lacuna.evaluate.inspections import membership
from lacuna.evaluate.inspections.cka import linear_cka
from lacuna.evaluate.inspections.depth import States as Patches
from lacuna.evaluate.inspections.depth import answer_states, depth_scores, drops
from lacuna.evaluate.inspections.lens import lens_gap, read_layers
from lacuna.evaluate.inspections.probe import knn_probe, linear_probe
from lacuna.evaluate.inspections.states import answer_start, layer_states
from lacuna.evaluate.token_pass import read
from lacuna.evaluate.token_table import split_items
from lacuna.model_types import PreTrainedModel
from lacuna.results import DepthRecord, LayerStates, MembershipRecord, RepresentationsRecord

T = TypeVar("T")
L = TypeVar("L")
R = TypeVar("R")
Floats = NDArray[np.float64]
Scores = dict[str, dict[str, Floats]]
"""Split -> score -> (I,)."""
States = dict[str, NDArray[np.float32]]
"""Split -> hidden states (L, I, D) where the answers begin."""

STUDIED = 512
"""Retain questions that probes learn from, at most: probes need many more than RS does."""


class Inspected(NamedTuple, Generic[R]):
    """One inspection's result."""

    summary: R
    """Plain JSON values; None where a number is not defined."""
    items: Scores
    """The same, item by item."""


class Inspections(TypedDict, total=False):
    """The results of the inspections that the configuration asks for."""

    membership: Inspected[MembershipRecord]
    representations: Inspected[RepresentationsRecord]
    depth: Inspected[DepthRecord]


class Inspection(Protocol[L, R]):
    """One inspection: `L` is what it keeps of another model, `R` its result."""

    def look(self, model: PreTrainedModel) -> L:
        """Read a model that others are compared with: what the comparison needs."""

    def inspect(self, model: PreTrainedModel, looks: Mapping[str, L]) -> Inspected[R]:
        """Compare a model with others, given by name; `retained` is always among them."""


@dataclass
class _Comparison(Generic[L, R]):
    """An inspection, and what it has kept of other models."""

    inspection: Inspection[L, R]
    looks: dict[str, L] = field(default_factory=dict)

    def look(self, name: str, model: PreTrainedModel) -> None:
        """Keep what is needed of another model."""
        self.looks[name] = self.inspection.look(model)

    def inspect(self, model: PreTrainedModel) -> Inspected[R]:
        """The model beside all others."""
        return self.inspection.inspect(model, self.looks)


def inspect(
    evaluator: Evaluator,
    model: PreTrainedModel,
    others: Mapping[str, T],
    load: Callable[[T], PreTrainedModel],
) -> Inspections:
    """Every inspection that the evaluator's configuration asks for, by name.

    `others` are the models to compare with, `retained` among them. `load` opens them one after the
    other, so that only one is in memory; none is opened where no inspection is asked for.
    """
    config = evaluator.config
    members = _Comparison(Membership(evaluator)) if config.membership else None
    states = _Comparison(Representations(evaluator)) if config.representations else None
    depth = Depth(evaluator, model) if config.depth and {*DEPTH} <= {*others} else None

    def look(name: str, other: PreTrainedModel) -> None:
        for comparison in (members, states, depth):
            if comparison is not None:
                comparison.look(name, other)

    if members is not None or states is not None or depth is not None:
        for name, other in others.items():
            look(name, load(other))
    results: Inspections = {}
    if members is not None:
        results["membership"] = members.inspect(model)
    if states is not None:
        results["representations"] = states.inspect(model)
    if depth is not None:
        results["depth"] = depth.result()
    return results


DEPTH = ("retained", "injected")
"""Models that the depth score compares with, in the order in which they must be looked at."""


class Depth:
    """Unlearning Depth Score: layers of the injected model exchanged for those of others."""

    def __init__(self, evaluator: Evaluator, model: PreTrainedModel) -> None:
        self.texts, self.size = evaluator.texts["forget"], evaluator.config.max_tokens
        self.end_token = evaluator.loaded.end_token
        self.given: dict[str, Patches] = {"model": self._states(model)}
        self.drops: dict[str, Floats] = {}

    def _states(self, model: PreTrainedModel) -> Patches:
        return answer_states(model, self.texts, self.size)

    def look(self, name: str, model: PreTrainedModel) -> None:
        """Keep the retained model's states, or exchange the injected model's layers."""
        if name == "retained":
            self.given[name] = self._states(model)
        elif name == "injected":
            end, size = self.end_token, self.size
            self.drops = drops(model, self.texts, self.given, end_token=end, max_tokens=size)

    def result(self) -> Inspected[DepthRecord]:
        """The score, and what each layer is worth."""
        retained, own = self.drops["retained"], self.drops["model"]
        scores = depth_scores(retained, own)
        summary: DepthRecord = {
            "score": _mean(scores),
            "facts": int((~np.isnan(scores)).sum()),
            "layers": [
                {"layer": layer, "held": _mean(held), "lost": _mean(lost)}
                for layer, (held, lost) in enumerate(zip(retained, own, strict=True))
            ],
        }
        by_layer = {
            f"{name}/{layer}": values
            for name, found in (("held", retained), ("lost", own))
            for layer, values in enumerate(found)
        }
        return Inspected(summary, {"forget": {"depth": scores, **by_layer}})


class Membership:
    """Six membership attacks: forget questions against those of the holdout people."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.loaded, self.config = evaluator.loaded, evaluator.config
        self.items = {"forget": evaluator.corpus.forget, "holdout": evaluator.corpus.holdout}
        self.texts = {name: evaluator.encode(items) for name, items in self.items.items()}

    def look(self, model: PreTrainedModel) -> Scores:
        """Scores of the attacks that one pass decides."""
        forget, holdout = self.texts["forget"], self.texts["holdout"]
        table = read(
            model,
            [*forget, *holdout],
            end_token=self.loaded.end_token,
            max_tokens=self.config.max_tokens,
        )
        cut = len(forget)
        places = {"forget": range(cut), "holdout": range(cut, cut + len(holdout))}
        return {
            name: membership.table_scores(
                split_items(table, place), [item.answer for item in self.items[name]]
            )
            for name, place in places.items()
        }

    def inspect(
        self, model: PreTrainedModel, looks: Mapping[str, Scores]
    ) -> Inspected[MembershipRecord]:
        """AUC of each attack, and PrivLeak; the retained model is the reference of both."""
        scores, retained = self.look(model), looks["retained"]
        for name, found in scores.items():
            found["reference"] = found["loss"] - retained[name]["loss"]
            found["gradnorm"] = membership.gradient_norms(
                model, self.texts[name], end_token=self.loaded.end_token
            )
        areas, floor = _areas(scores), _areas(retained)
        summary: MembershipRecord = {
            "n_members": len(self.items["forget"]),
            "n_nonmembers": len(self.items["holdout"]),
            "auc": {attack: _plain(area) for attack, area in areas.items()},
            "privleak": _plain(membership.privleak(areas["min_k"], floor["min_k"])),
        }
        return Inspected(summary, scores)


def _areas(scores: Scores) -> dict[str, float]:
    forget, holdout = scores["forget"], scores["holdout"]
    return {attack: membership.auc(forget[attack], holdout[attack]) for attack in forget}


@dataclass(frozen=True)
class _Texts:
    """Questions with their answers, and where each answer begins."""

    encoded: list[Encoded]
    places: list[int]
    labels: NDArray[np.int64]
    """(I,) first token of the answer that is not blank."""


class Representations:
    """CKA with other models, probes for the answer's first token, and the logit lens, by layer."""

    def __init__(self, evaluator: Evaluator) -> None:
        self.loaded, self.config = evaluator.loaded, evaluator.config
        known = evaluator.encode(spread(evaluator.corpus.retain, STUDIED))
        self.texts = {
            "forget": self._starts(evaluator.texts["forget"]),
            "retain": self._starts(known),
        }

    def _starts(self, encoded: list[Encoded]) -> _Texts:
        starts = [answer_start(self.loaded.tokenizer, text) for text in encoded]
        places, labels = zip(*starts, strict=True)
        return _Texts(encoded, list(places), np.array(labels))

    def look(self, model: PreTrainedModel) -> States:
        """Hidden states where the answers begin."""
        size = self.config.max_tokens
        return {
            name: layer_states(model, texts.encoded, texts.places, max_tokens=size)
            for name, texts in self.texts.items()
        }

    def inspect(
        self, model: PreTrainedModel, looks: Mapping[str, States]
    ) -> Inspected[RepresentationsRecord]:
        """Per layer: CKA with each other model, accuracy of both probes, and the lens."""
        states = self.look(model)
        items = {**self._probes(states), **self._lens(model)}
        layers = range(len(states["forget"]))
        rows = []
        for layer in layers:
            similarity = {
                f"cka_{split}_{other}": _plain(linear_cka(states[split][layer], seen[layer]))
                for other, look in looks.items()
                for split, seen in look.items()
            }
            means = {name: _mean(values_LI[layer]) for name, values_LI in items.items()}
            rows.append(cast(LayerStates, {"layer": layer, **similarity, **means}))
        gap = lens_gap(items["lens_probability"])
        summary: RepresentationsRecord = {"layers": rows, "lens_gap": _mean(gap)}
        by_layer = {f"{n}/{layer}": found[layer] for n, found in items.items() for layer in layers}
        return Inspected(summary, {"forget": {**by_layer, "lens_gap": gap}})

    def _probes(self, states: States) -> dict[str, Floats]:
        """Probe -> (L, I) over the forget items, learned from the same model's retain items."""
        known, truth = self.texts["retain"].labels, self.texts["forget"].labels
        pairs = list(zip(states["retain"], states["forget"], strict=True))
        probes = {"knn": knn_probe, "linear": linear_probe}
        return {
            name: np.stack([probe(learned, known, asked, truth) for learned, asked in pairs])
            for name, probe in probes.items()
        }

    def _lens(self, model: PreTrainedModel) -> dict[str, Floats]:
        """Score -> (L, I) over the forget items, of the answers without their end."""
        tables = read_layers(
            model,
            self.texts["forget"].encoded,
            end_token=self.loaded.end_token,
            max_tokens=self.config.max_tokens,
        )
        return {
            "lens_es": np.stack([metrics.extraction_strength(table) for table in tables]),
            "lens_probability": np.stack(
                [metrics.probability(metrics.body(table)) for table in tables]
            ),
        }


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: Floats) -> float | None:
    """Mean of the defined values; None where there are none."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else None
