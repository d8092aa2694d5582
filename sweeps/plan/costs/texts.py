"""How many tokens a study's texts have, and how many of them measuring and training read.

Texts are counted in characters: the numbers are good to a factor of two, not more.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from statistics import fmean

from lacuna.costs import Texts, Workload
from lacuna.data import Corpus, Example
from lacuna.evaluate.evaluator import spread, utility_sets
from lacuna.train import Optimisation
from sweeps.config.schema import Study

CHARACTERS_PER_TOKEN = {True: 3.0, False: 4.0}
"""Embedded tokenizer (900 tokens: measured), others (English; assumed)."""


class StudyTexts:
    """The texts of a study's corpus, as its model is asked them."""

    def __init__(self, config: Study, corpus: Corpus) -> None:
        self.evaluate, self.corpus = config.evaluate, corpus
        self.characters = CHARACTERS_PER_TOKEN[config.model.source is None]
        self.template = len(config.model.prompt.template) - len("{question}")

    def workload(self, layers: int) -> Workload:
        """The texts, as methods are told of them to say what they take."""
        refusals = [len(text) for text in self.corpus.refusals]
        answer = fmean(refusals) / self.characters if refusals else 0.0
        return Workload(
            forget=Texts.of(self.lengths(self.corpus.forget)),
            retain=Texts.of(self.lengths(self.corpus.retain)),
            refusals=Texts.of([self._tokens(q.question) + answer for q in self.corpus.forget]),
            neutral=Texts.of(self.neutral),
            layers=layers,
        )

    def lengths(self, items: Iterable[Example]) -> list[float]:
        """Tokens of each question with its answer."""
        return [self._tokens(item.question, item.answer) for item in items]

    @cached_property
    def neutral(self) -> list[float]:
        """Tokens of each neutral text."""
        return [1 + len(text) / self.characters for text in self.corpus.neutral]

    @property
    def utility(self) -> list[Example]:
        """The questions of all utility sets."""
        return [item for items in self.corpus.utility.values() for item in items]

    def pairs(self, train: Optimisation) -> float:
        """Tokens of a training that reads as many forget as retain texts."""
        splits = self.corpus.forget, self.corpus.retain
        return sum(self.trained(train, self.lengths(items)) for items in splits)

    def trained(self, train: Optimisation, texts: Sequence[float]) -> float:
        """Tokens that a training reads of texts of these lengths."""
        return train.texts * sum(texts) / len(texts) if texts else 0.0

    @cached_property
    def forget(self) -> float:
        """Tokens of the forget questions with their answers."""
        return sum(self.lengths(self.corpus.forget))

    @cached_property
    def strength(self) -> float:
        """Tokens that one FS-RS point reads."""
        asked = spread(self.corpus.retain, self.evaluate.retain_items)
        return self.forget + sum(self.lengths(asked))

    @cached_property
    def everything(self) -> float:
        """Tokens that one full measurement reads and writes."""
        sets = utility_sets(self.corpus, self.evaluate.utility_items).values()
        again = [item for item in self.corpus.forget if item.paraphrased_question]
        tokens = self.strength + sum(self.lengths(again))
        tokens += sum(
            self._answers(item) for items in [self.corpus.forget, *sets] for item in items
        )
        for items in sets:
            questions = sum(self._tokens(item.question) for item in items)
            written = self.evaluate.new_tokens * len(items)
            tokens += sum(self.lengths(items)) + questions + written
        return tokens

    def _answers(self, item: Example) -> float:
        """Tokens behind one question's truth ratio."""
        wrong = item.perturbed_answers[: self.evaluate.wrong_answers]
        right = [item.paraphrased_answer] if item.paraphrased_answer else []
        return sum(self._tokens(item.question, answer) for answer in [*right, *wrong])

    def _tokens(self, *texts: str) -> float:
        return 1 + (self.template + sum(map(len, texts))) / self.characters
