"""The corpus that a configuration names, read once per process."""

import json
from functools import lru_cache

from lacuna.artifacts import JsonObject, canonical
from lacuna.data import DATA, Corpus, with_general_knowledge
from sweeps.config.schema import build


def load_corpus(data: JsonObject, embedded: bool) -> Corpus:
    """The corpus of a source's `name` and settings; read once per process.

    The `embedded` model also needs general knowledge to be taught, where the source brings none.
    """
    return _load_corpus(canonical(data), embedded)


@lru_cache(maxsize=2)
def _load_corpus(data: str, embedded: bool) -> Corpus:
    values = json.loads(data)
    source = DATA[values.pop("name")]
    corpus = source.load(build(source.Config, values))
    return with_general_knowledge(corpus) if embedded else corpus
