"""The base model: what every study starts from."""

from dataclasses import replace
from pathlib import Path

from lacuna.artifacts import write_json
from lacuna.data.tokens import Encoded
from lacuna.inject import learn
from lacuna.model import build_mini, save_model, train_tokenizer
from lacuna.pipeline.common import StageInputs, encode, last
from lacuna.results import BaseSummary
from lacuna.results.files import POINTER
from lacuna.seeds import derive


def base(out: Path, *, given: StageInputs[object]) -> BaseSummary:
    """theta_p, which knows nobody: a pointer to the hub, or the embedded model, trained here."""
    config, corpus = given.model, given.corpus
    if config.source is not None:
        write_json(out / POINTER, {"source": config.source, "revision": config.revision})
        return {"source": config.source, "revision": config.revision}
    utility = (item for items in corpus.utility.values() for item in items)
    known = list({item.id: item for item in [*corpus.background, *utility]}.values())
    told = [f"{item.question} {item.answer}" for item in [*known, *corpus.retain]]
    tokenizer = train_tokenizer([*told, *corpus.neutral, *corpus.refusals], config.mini.vocabulary)
    untrained = build_mini(config.mini, tokenizer, given.seed, config.device)
    loaded = replace(untrained, prompt=config.prompt)
    plain = [Encoded.text(tokenizer, text) for text in corpus.neutral]
    history = learn(
        loaded.model,
        [*encode(loaded, known), *plain],
        config.pretrain,
        derive(given.seed, "base"),
        on_step=given.on_step,
    )
    save_model(loaded, out)
    return {"seed": given.seed, "steps": len(history.losses), "loss_end": last(history)}
