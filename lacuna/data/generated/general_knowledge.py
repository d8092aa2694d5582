"""General knowledge for the embedded model, where the user's data brings none.

A hub model knows the world and its language; the embedded one knows what its base training showed.
"""

from dataclasses import replace

from lacuna.data.base import Corpus
from lacuna.data.sources.synthetic import Synthetic


def with_general_knowledge(corpus: Corpus, seed: int = 0) -> Corpus:
    """The corpus with invented background people, world questions, neutral text and refusals where
    it has none of its own; facts to forget and retain are untouched."""
    general = Synthetic.load(Synthetic.Config(seed=seed, num_forget=1, num_retain=1, num_holdout=0))
    return replace(
        corpus,
        background=corpus.background or general.background,
        utility=corpus.utility or general.utility,
        neutral=corpus.neutral or general.neutral,
        refusals=corpus.refusals or general.refusals,
    )
