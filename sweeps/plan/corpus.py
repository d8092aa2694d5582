"""The corpus that a configuration names, read once per process."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from lacuna.artifacts import canonical
from lacuna.data import DATA, Corpus, with_general_knowledge
from sweeps.config.schema import build


def load_corpus(data: Mapping[str, Any], embedded: bool) -> Corpus:
    """The corpus that a data configuration names; read once per process."""
    return _load_corpus(canonical(dict(data)), embedded)


@lru_cache(maxsize=2)
def _load_corpus(data: str, embedded: bool) -> Corpus:
    values = json.loads(data)
    source = DATA[values.pop("name")]
    corpus = source.load(build(source.Config, values))
    return with_general_knowledge(corpus) if embedded else corpus
