"""The corpus and the model that a study starts from, each read once."""

import json
from functools import lru_cache
from pathlib import Path

from lacuna.artifacts import JsonObject, canonical, file_digest
from lacuna.data import DATA, Corpus, with_general_knowledge
from lacuna.model import model_identity
from lacuna.model.files import bare
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


def identity(source: str | None) -> str | None:
    """What stands for a model in keys: a hub name, or a digest of a folder's files.

    A folder is known by what a loader reads of it, by name, wherever it is; a bare config.json,
    which can only be planned with, by its digest alone.
    """
    if source is None or not Path(source).is_dir():
        return source
    if bare(Path(source)):
        return "folder:" + file_digest(Path(source) / "config.json")[:16]
    return model_identity(Path(source))
