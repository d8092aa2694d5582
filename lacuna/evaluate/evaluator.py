"""The questions a study asks of every model, tokenised once.

`Evaluator.strength` gives what the FS-RS curve needs; `Evaluator.measure` everything. Both read all
their items in one teacher-forced pass; generation runs for ROUGE only.
Shapes: I items, J wrong answers.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lacuna.data.base import Corpus, Example
from lacuna.data.tokens import Encoded, encode_examples
from lacuna.data.trees import Following, Trees
from lacuna.errors import UserError
from lacuna.evaluate import metrics
from lacuna.evaluate.generate import complete, prompts
from lacuna.evaluate.quality import Utility, model_utility, set_utility
from lacuna.evaluate.rouge import rouge
from lacuna.evaluate.token_pass import read_trees
from lacuna.evaluate.token_table import TokenTable, split_items
from lacuna.model.load import LoadedModel
from lacuna.model.trees import laid_out
from lacuna.model_types import PreTrainedModel
from lacuna.train import Editable, Front

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What is asked, and how much of it."""

    alphas: int = 21
    """Points of the mixing curve, evenly spaced over [0, 1] (Lee et al.: 21)."""
    retain_items: int = 0
    """Retain questions in RS, spread evenly over the people; 0 asks all."""
    utility_items: int = 0
    """Questions per utility set (retain is one of them), spread evenly; 0 asks all."""
    wrong_answers: int = 3
    """Wrong answers per question in truth ratios, at most."""
    new_tokens: int = 32
    """Length limit of generated answers (ROUGE)."""
    max_tokens: int = 8192
    """Tokens per evaluation batch, padding counted."""
    membership: bool = False
    """Also test at alpha = 1 whether forgotten people can be told from people never injected."""
    representations: bool = False
    """Also compare hidden states at alpha = 1, layer by layer: CKA, probes, logit lens."""
    transplant: bool = False
    """Also exchange regions between models, of test trials the target region: are facts erased
    there or hidden, and is a localizer's region necessary and sufficient for them?"""
    rescalings: int = 0
    """Random rescalings of the value vectors that keep the model's function, in each of which every
    localizer of the precision table is asked again (docs/gauge.md). 0: none."""
    depth: bool = False
    """Also patch the injected model's layers with those of the model at alpha = 1: at which depth
    are facts lost (Unlearning Depth Score)?"""

    def __post_init__(self) -> None:
        if self.alphas < 2:
            raise UserError(f"evaluate.alphas={self.alphas}: a curve needs at least 2 points")
        if self.new_tokens < 1 or self.max_tokens < 1:
            raise UserError("evaluate.new_tokens and evaluate.max_tokens must be at least 1")


class Strength(NamedTuple):
    """Extraction strength per item."""

    forget: Floats
    retain: Floats

    @property
    def fs(self) -> float:
        """Forget strength: 1 - mean ES on forget."""
        return 1 - float(np.nanmean(self.forget))

    @property
    def rs(self) -> float:
        """Retain strength: mean ES on retain."""
        return float(np.nanmean(self.retain))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything about one model. Vectors are (I,) over the forget or retain questions."""

    strength: Strength
    forget: Mapping[str, Floats]
    """Every metric of `metrics.METRICS`, and where there are wrong answers truth_ratio."""
    retain: Mapping[str, Floats]
    """Every metric."""
    utility: float
    """Harmonic mean over the utility sets (TOFU's MU)."""
    sets: Mapping[str, Utility]


class _LaidOut(NamedTuple):
    """Texts of some names, each once."""

    trees: Trees
    places: Mapping[str, list[int]]
    """Name -> which of the texts its items are."""
    following: Following


class _Said(NamedTuple):
    """What a model would say next behind every token that it read."""

    next: NDArray[np.int64]
    """(tokens of all trees,) -1: not asked."""
    following: Following

    def along(self, head: Sequence[int], most: int, stops: Sequence[int]) -> list[int]:
        """The first tokens, at most so many, of its greedy answer to a prompt: as far as they run
        along texts that it read, and one more; up to a stop."""
        said: list[int] = []
        nodes = [node for node in self.following.find(head) if self.next[node] >= 0]
        while nodes and len(said) < most:
            token = int(self.next[nodes[0]])
            said.append(token)
            if token in stops:
                break
            nodes = self.following.step(nodes[:1], token)
            nodes = [node for node in nodes if self.next[node] >= 0]
        return said


class Evaluator:
    """Questions and answers of a corpus in a model's tokens."""

    def __init__(self, loaded: LoadedModel, corpus: Corpus, config: EvaluateConfig) -> None:
        if config.membership and not corpus.holdout:
            raise UserError(
                f"evaluate.membership=true needs people who were never injected, and data "
                f"{corpus.name!r} has no holdout: use data that has, or evaluate.membership=false"
            )
        self.loaded, self.corpus, self.config = loaded, corpus, config
        self._laid: dict[tuple[str, ...], _LaidOut] = {}
        self._front: Front | None = None
        self.forget = list(corpus.forget)
        self.retain = spread(corpus.retain, config.retain_items)
        self.sets = utility_sets(corpus, config.utility_items)
        self.heads = prompts(loaded, [item for items in self.sets.values() for item in items])
        self.texts: dict[str, list[Encoded]] = {
            "forget": self.encode(self.forget),
            "retain": self.encode(self.retain),
        }
        paraphrased = [item for item in self.forget if item.paraphrased_question]
        self.texts["paraphrase"] = [
            self._answer(item.paraphrased_question, item.answer) for item in paraphrased
        ]
        for name, items in {"forget": self.forget, **self._named_sets()}.items():
            self._add_answers(name, items)

    def strength(self, model: PreTrainedModel) -> Strength:
        """ES of every forget and retain question."""
        tables, _ = self._read(model, ("forget", "retain"))
        found = {name: metrics.extraction_strength(table) for name, table in tables.items()}
        return Strength(found["forget"], found["retain"])

    def forget_es(self, model: PreTrainedModel) -> float:
        """Mean ES over the forget questions, which alone are asked."""
        tables, _ = self._read(model, ("forget",))
        return float(np.nanmean(metrics.extraction_strength(tables["forget"])))

    @contextmanager
    def moving(self, model: PreTrainedModel, weights: Editable) -> Iterator[None]:
        """Within the block no other weights of the model change between two questions."""
        self._front = Front(model, weights)
        try:
            yield
        finally:
            self._front = None

    def paraphrased(self, model: PreTrainedModel) -> Floats:
        """ES on forget questions in wordings never trained on; empty if the data has none."""
        return metrics.extraction_strength(self._read(model, ("paraphrase",))[0]["paraphrase"])

    def measure(self, model: PreTrainedModel) -> Measured:
        """All metrics of a model whose weights may have changed since `loaded`."""
        names = tuple(name for name in self.texts if name != "paraphrase")
        tables, greedy = self._read(model, names)
        forget = metrics.item_scores(tables["forget"])
        retain = metrics.item_scores(tables["retain"])
        ratio = self._truth_ratio(tables, "forget")
        said = self._generate(model, greedy)
        utilities = {name: self._utility(tables, name, said[name]) for name in self.sets}
        return Measured(
            strength=Strength(forget["es"], retain["es"]),
            forget=forget if ratio is None else {**forget, "truth_ratio": ratio},
            retain=retain,
            utility=model_utility(utilities),
            sets=utilities,
        )

    def _named_sets(self) -> dict[str, list[Example]]:
        return {f"set/{name}": items for name, items in self.sets.items()}

    def _answer(self, question: str, answer: str) -> Encoded:
        return Encoded.answer(self.loaded.tokenizer, self.loaded.prompt, question, answer)

    def encode(self, items: Sequence[Example]) -> list[Encoded]:
        """Questions and answers in the model's tokens."""
        return encode_examples(self.loaded.tokenizer, self.loaded.prompt, items)

    def _add_answers(self, name: str, items: Sequence[Example]) -> None:
        """Texts behind truth ratios: the answer, its paraphrase, and wrong ones, item-major."""
        if name not in self.texts:
            self.texts[name] = self.encode(items)
        self.texts[f"{name}/right"] = [
            self._answer(item.question, item.paraphrased_answer or item.answer) for item in items
        ]
        self.texts[f"{name}/wrong"] = [
            self._answer(item.question, wrong)
            for item in items
            for wrong in item.perturbed_answers[: self.config.wrong_answers]
        ]

    def _read(
        self, model: PreTrainedModel, names: Sequence[str]
    ) -> tuple[dict[str, TokenTable], _Said]:
        """One pass over the named texts; equal texts are read once."""
        laid = self._laid.get(tuple(names))
        if laid is None:
            laid = self._laid[tuple(names)] = self._lay_out(model, names)
        front = self._front if self._front and self._front.model is model else None
        read = read_trees(model, laid.trees, self.loaded.end_token, front=front)
        tables = {name: split_items(read.table, place) for name, place in laid.places.items()}
        return tables, _Said(read.said, laid.following)

    def _lay_out(self, model: PreTrainedModel, names: Sequence[str]) -> _LaidOut:
        rows: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}
        places = {
            name: [
                rows.setdefault((tuple(t.ids), tuple(t.labels)), len(rows))
                for t in self.texts[name]
            ]
            for name in names
        }
        texts = [Encoded(list(ids), list(labels)) for ids, labels in rows]
        trees = laid_out(model, Trees(texts, self.config.max_tokens))
        return _LaidOut(trees, places, Following.of(trees))

    def _wrong_nll(
        self, tables: Mapping[str, TokenTable], name: str, items: Sequence[Example]
    ) -> Floats | None:
        counts = [len(item.perturbed_answers[: self.config.wrong_answers]) for item in items]
        if not any(counts):
            return None
        nll = np.full((len(items), max(counts)), np.nan)
        filled = np.arange(max(counts)) < np.array(counts)[:, None]
        nll[filled] = -metrics.mean_logp(tables[f"{name}/wrong"])
        return nll

    def _truth_ratio(self, tables: Mapping[str, TokenTable], name: str) -> Floats | None:
        wrong = self._wrong_nll(tables, name, self.forget)
        if wrong is None:
            return None
        return metrics.truth_ratio(-metrics.mean_logp(tables[f"{name}/right"]), wrong)

    def _generate(self, model: PreTrainedModel, greedy: _Said) -> dict[str, list[str]]:
        """Greedy answers to every utility question by set, from batches that the sets share.

        As far as an answer goes along a text that was read, its tokens are known.
        """
        most, stops = self.config.new_tokens, self.loaded.stops
        answers = iter(
            complete(
                replace(self.loaded, model=model),
                self.heads,
                new_tokens=most,
                max_tokens=self.config.max_tokens,
                begun=[greedy.along(head, most, stops) for head in self.heads],
            )
        )
        return {name: [next(answers) for _ in items] for name, items in self.sets.items()}

    def _utility(self, tables: Mapping[str, TokenTable], name: str, said: Sequence[str]) -> Utility:
        items, key = self.sets[name], f"set/{name}"
        wrong = self._wrong_nll(tables, key, items)
        return set_utility(
            -metrics.mean_logp(tables[key]),
            wrong_nll=wrong,
            paraphrased_nll=-metrics.mean_logp(tables[f"{key}/right"]),
            rouge=rouge(said, [item.answer for item in items]).rouge_l_recall,
            choices=name != "retain" and wrong is not None,
        )


def utility_sets(corpus: Corpus, count: int) -> dict[str, list[Example]]:
    """The questions that utility is asked of, by set: `count` of each, or all for 0.

    Of retain those with wrong answers, if any have them: TOFU wrote some for 400 of its 3,600.
    """
    retain = [item for item in corpus.retain if item.perturbed_answers] or corpus.retain
    return {n: spread(items, count) for n, items in {"retain": retain, **corpus.utility}.items()}


def spread(items: Sequence[Example], count: int) -> list[Example]:
    """`count` items spread evenly over the sequence, in order; all of them for 0 or too few."""
    if count <= 0 or count >= len(items):
        return list(items)
    return [items[i * len(items) // count] for i in range(count)]
