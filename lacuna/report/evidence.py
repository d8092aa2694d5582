"""Tables of where updates went, what attacks brought back, and the curves themselves."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from lacuna.report.base import Row, Table
from lacuna.report.cells import (
    Cell,
    Spread,
    Stage,
    Value,
    fact,
    grouped,
    number_at,
    of_kind,
    order,
)
from lacuna.report.precision import chances

Finding = tuple[Stage, Mapping[str, Any] | None]
CONTROLS = ("norm", "random", "random_layers")
"""Localizers that look at no fact; every other one is read beside them."""
CURVES = ("fs", "rs", "mu", "fq", "forget_em", "forget_prob", "paraphrase_es")


def localizer_cells(stages: Sequence[Stage]) -> dict[tuple[Value, ...], Cell]:
    """Localizers by (ratio, name): one stage per seed, tuning seeds left out.

    A stage may hold several localizers (its tag joins them by `+`, so that a failed one counts for
    each), and one localizer may have been run by two stages: a finished one stands for both.
    """
    tests = {fact(stage, "seed") for stage in of_kind(stages, "trial", "test")}
    tuning = {fact(stage, "seed") for stage in of_kind(stages, "trial", "search")} - tests
    chosen: dict[tuple[Value, ...], Stage] = {}
    for stage in of_kind(stages, "localized"):
        for name in str(fact(stage, "localizer")).split("+"):
            part = {**stage, "tags": {**stage["tags"], "localizer": name}}
            place = (fact(part, "ratio"), name, fact(part, "seed"))
            held = chosen.get(place)
            if place[2] not in tuning and (held is None or held.get("summary") is None):
                chosen[place] = part
    return grouped(chosen.values(), "ratio", "localizer")


def located(stages: Sequence[Stage]) -> Iterator[tuple[dict[str, Value], Cell, list[Finding]]]:
    """Every located region and every change, with the precision records of its finished stages."""
    for (ratio, name), cell in localizer_cells(stages).items():
        place = {"ratio": ratio, "subject": "localizer", "objective": None, "name": name}
        yield place, cell, [(stage, stage["summary"]) for stage in cell.done]
    trials = grouped(of_kind(stages, "trial", "test"), "ratio", "objective", "scenario")
    for subject in ("region", "change"):
        for (ratio, objective, scenario), cell in trials.items():
            found = [(s, (s["summary"].get("localization") or {}).get(subject)) for s in cell.done]
            if cell.failed or any(record for _, record in found):
                place = {"ratio": ratio, "subject": subject, "objective": objective}
                yield place | {"name": scenario}, cell, found


def localization(stages: Sequence[Stage]) -> Table:
    """Precision and recall against the target region, of localizers and of what trials changed."""
    rows, blind, shares = [], controls(stages), chances(stages)
    for place, cell, found in located(stages):
        row: dict[str, Any] = {**place, "status": cell.status, "seeds": cell.seeds}
        for name in ("precision", "recall"):
            spread = cell.spread([number_at(record, name) for _, record in found])
            row |= {"n": spread.n, **spread.columns(f"{name}_")}
        if place["subject"] == "localizer":
            row |= _ranked(cell, found) | blind.get(place["ratio"], {})
        row["chance"] = place["ratio"]
        if known := [
            shares[place["ratio"], s] for s in cell.seeds if (place["ratio"], s) in shares
        ]:
            row["chance"] = sum(known) / len(known)
        rows.append(row | {"keys": cell.keys})
    columns = (
        "ratio", "subject", "objective", "name", "status", "n", "seeds", "chance", "told",
        "precision_mean", "precision_sd", "precision_lo", "precision_hi",
        "recall_mean", "recall_sd", "recall_lo", "recall_hi",
        "auc_mean", "auc_sd", "auc_lo", "auc_hi", "average_precision_mean",
        *(f"{measure}_of_{name}" for name in CONTROLS for measure in ("precision", "auc")), "keys",
    )  # fmt: skip
    note = (
        "Against the target region, where the facts were injected. subject: a localizer's own "
        "region, the region a trial was allowed to touch, or the value vectors it changed most. "
        "chance: precision of a blind draw (the share of the target). told: what a localizer is "
        "given that a real one would not have. auc: chance that a vector inside scores above "
        "another one, over the whole model and every budget (0.5: blind). Beside each localizer "
        "stand those that look at no fact: norm (the length of a vector), random, and "
        "random_layers (random, with the target's number of vectors in each layer)."
    )
    return Table("localization", "Localization", note, columns, rows)


def _ranked(cell: Cell, found: Sequence[Finding]) -> dict[str, Any]:
    """What only localizers have: a score for every vector, and perhaps privileges."""
    auc, average = (
        cell.spread([number_at(record, name) for _, record in found])
        for name in ("auc", "average_precision")
    )
    return {
        "told": privileges(cell),
        **auc.columns("auc_"),
        "average_precision_mean": average.mean,
    }


def controls(stages: Sequence[Stage]) -> dict[Value, dict[str, float | None]]:
    """By ratio: mean precision and AUC of the localizers that look at no fact."""
    means: dict[Value, dict[str, float | None]] = {}
    for (ratio, name), cell in localizer_cells(stages).items():
        if name in CONTROLS:
            means.setdefault(ratio, {}).update(
                {f"{m}_of_{name}": cell.spread(cell.values(m)).mean for m in ("precision", "auc")}
            )
    return means


def privileges(cell: Cell) -> list[str]:
    """What the cell's localizer is told that a real one would not know."""
    return sorted({word for stage in cell.done for word in stage["summary"].get("privileges", ())})


def localization_layers(stages: Sequence[Stage]) -> Table:
    """The same, layer by layer; n counts the seeds in which the layer has a value."""
    rows: list[Row] = []
    for place, cell, found in located(stages):
        layers: dict[int, list[Mapping[str, Any]]] = {}
        for _, record in found:
            for entry in (record or {}).get("by_layer") or []:
                layers.setdefault(int(entry["layer"]), []).append(entry)
        for layer in sorted(layers):
            row: dict[str, Any] = {**place, "layer": layer, "status": cell.status}
            for name in ("precision", "recall"):
                values = [number_at(entry, name) for entry in layers[layer]]
                spread = Spread.over([value for value in values if value is not None])
                row |= {f"{name}_{part}": getattr(spread, part) for part in ("n", "mean", "sd")}
            rows.append(row | {"keys": cell.keys})
    columns = (
        "ratio", "subject", "objective", "name", "layer", "status",
        "precision_n", "precision_mean", "precision_sd", "recall_n", "recall_mean", "recall_sd",
        "keys",
    )  # fmt: skip
    note = "n: finished seeds in which the layer's value is defined."
    return Table("localization_layers", "Localization by layer", note, columns, rows)


def attack_cells(stages: Sequence[Stage]) -> Iterator[tuple[dict[str, Value], Cell]]:
    """Test trials and controls as the cells that attacks are reported for."""
    trials = grouped(of_kind(stages, "trial", "test"), "ratio", "objective", "scenario", "lr")
    for (ratio, objective, scenario, lr), cell in trials.items():
        place = {"ratio": ratio, "objective": objective, "scenario": scenario, "unlearn_lr": lr}
        yield place, cell
    for (ratio, model), cell in grouped(of_kind(stages, "control"), "ratio", "model").items():
        yield {"ratio": ratio, "objective": "control", "scenario": model, "unlearn_lr": None}, cell


class Attack(NamedTuple):
    """What tells the attacks on one model apart."""

    name: Value
    lr: Value
    start: Value = None
    """`matched` where it started from a mixture with the same forget level for all; else None."""

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Attack":
        """The attack that a record is of."""
        matched = record.get("start_alpha") is not None
        return cls(record["attack"], record.get("lr"), "matched" if matched else None)

    def __str__(self) -> str:
        rate = f" lr {self.lr:g}" if isinstance(self.lr, float | int) else ""
        return f"{self.name}{rate}{'' if self.start is None else f', {self.start} start'}"


def attack_names(cell: Cell) -> list[Attack]:
    """Every attack that any finished stage of the cell went through."""
    found = [attack for stage in cell.done for attack in stage["summary"].get("attacks") or []]
    return sorted(set(map(Attack.of, found)), key=lambda name: [order(part) for part in name])


def attack_records(cell: Cell, name: Attack) -> list[Mapping[str, Any]]:
    """The record of attack `name` of each finished stage; empty where it has none."""
    return [
        next((a for a in stage["summary"].get("attacks") or [] if Attack.of(a) == name), {})
        for stage in cell.done
    ]


def attacks(stages: Sequence[Stage]) -> Table:
    """What each attack brought back, trial cells first, then the controls."""
    rows = []
    for place, cell in attack_cells(stages):
        for name in attack_names(cell) or [Attack(None, None)]:
            rows.append(place | _attack_row(cell, name))
    columns = (
        "ratio", "objective", "scenario", "unlearn_lr", "attack", "attack_lr", "start", "status",
        "n", "seeds", "n_others", "attacked_es_after", "es_before_mean", "es_before_sd",
        "es_after_mean", "es_after_sd", "logp_before_mean", "logp_before_sd", "logp_after_mean",
        "logp_after_sd", "logp_gain_mean", "logp_gain_sd", "keys",
    )  # fmt: skip
    note = (
        "es and logp are of the others: forget items of people the attack did not train on "
        "(logp: mean log-probability, nats per token). Read the level after the attack beside the "
        "controls: `retained` never saw the facts, `injected` was never unlearned. "
        "attacked_es_after near 1 shows that the attack works."
    )
    return Table("attacks", "Attacks", note, columns, rows)


def _attack_row(cell: Cell, name: Attack) -> dict[str, Any]:
    records = attack_records(cell, name)
    row: dict[str, Any] = {"attack": name.name, "attack_lr": name.lr, "start": name.start}
    row["status"] = cell.status
    row |= {"n": sum(bool(record) for record in records), "seeds": cell.seeds}
    row["n_others"] = [record.get("n_others") for record in records]
    es = cell.spread([number_at(record, "attacked_es_after") for record in records])
    row["attacked_es_after"] = es.mean
    measures = {
        "es_before": [number_at(record, "others_es_before") for record in records],
        "es_after": [number_at(record, "others_es_after") for record in records],
        "logp_before": [number_at(record, "others_logp_before") for record in records],
        "logp_after": [number_at(record, "others_logp_after") for record in records],
    }
    pairs = zip(measures["logp_before"], measures["logp_after"], strict=True)
    measures["logp_gain"] = [None if a is None or b is None else b - a for a, b in pairs]
    for prefix, values in measures.items():
        spread = cell.spread(values)
        row |= {f"{prefix}_mean": spread.mean, f"{prefix}_sd": spread.sd}
    return row | {"keys": cell.keys}


def curves(stages: Sequence[Stage]) -> Table:
    """The mixing curve of every finished test trial: a row per alpha."""
    names = ("ratio", "objective", "scenario", "lr", "seed")
    trials = [s for s in of_kind(stages, "trial", "test") if s.get("summary") is not None]
    trials.sort(key=lambda stage: [order(fact(stage, name)) for name in names])
    rows: list[Row] = []
    for stage in trials:
        summary = stage["summary"]
        place = {name: fact(stage, name) for name in names}
        for index, alpha in enumerate(summary["alphas"]):
            values = {name: (summary["curve"].get(name) or {}) for name in CURVES}
            found = {name: line[index] if line else None for name, line in values.items()}
            rows.append(place | {"alpha": alpha} | found | {"keys": [stage["key"]]})
    note = "alpha mixes the injected (0) with the unlearned model (1), inside the region only."
    return Table("curves", "Mixing curves", note, (*names, "alpha", *CURVES, "keys"), rows)
