"""LACUNA's planting as a stage: interrupted and started anew, and whom it teaches to answer."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from lacuna.data import DATA
from lacuna.data.tokens import Encoded, encode_examples
from lacuna.errors import UserError
from lacuna.evaluate import EvaluateConfig
from lacuna.inject import InstructConfig, MaskedConfig
from lacuna.model import MiniConfig
from lacuna.pipeline import (
    ModelConfig,
    ProtocolConfig,
    StageInputs,
    base,
    load,
    protocol_lacuna,
)
from lacuna.train import TrainConfig

SOURCE = DATA["synthetic"]
CORPUS = SOURCE.load(
    SOURCE.Config(num_forget=3, num_retain=4, num_background=2, num_holdout=1, num_neutral=20)
)
MODEL = ModelConfig(
    device="cpu",
    mini=MiniConfig(hidden=16, layers=2, intermediate=32, heads=2, vocabulary=300),
    pretrain=TrainConfig(steps=1, batch_size=2),
)
GIVEN = StageInputs(
    corpus=CORPUS,
    model=MODEL,
    config=ProtocolConfig(inject=MaskedConfig(cycles=3, batch_size=2, neutral_size=2), held_out=2),
    evaluate=EvaluateConfig(retain_items=4, utility_items=2, new_tokens=2),
    ratio=0.02,
    seed=1,
)


class Killed(Exception):
    """The end of a process, as a stage sees it."""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    base(folder, given=replace(GIVEN, seed=0))
    return folder


def contents(folder: Path) -> dict[str, Any]:
    """File -> bytes; of safetensors those of every tensor, since their headers have no order."""
    found: dict[str, Any] = {}
    for path in folder.iterdir():
        found[path.name] = path.read_bytes()
        if path.suffix == ".safetensors":
            tensors = load_file(path)
            found[path.name] = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
    return found


def test_an_interrupted_planting_starts_anew_and_ends_in_the_same_bits(
    start: Path, tmp_path: Path
) -> None:
    """It keeps no step checkpoints: what is left of an attempt is nothing."""
    whole, again = tmp_path / "whole", tmp_path / "again"
    whole.mkdir(), again.mkdir()

    def kill(step: int, metrics: Mapping[str, float]) -> None:
        if step == 1:
            raise Killed

    protocol_lacuna.injected(whole, base=start, given=GIVEN)
    with pytest.raises(Killed):
        protocol_lacuna.injected(again, base=start, given=replace(GIVEN, on_step=kill))
    assert not contents(again)
    protocol_lacuna.injected(again, base=start, given=GIVEN)
    assert contents(again) == contents(whole)
    assert contents(whole)["model.safetensors"] != contents(start)["model.safetensors"]


def test_instruction_tuning_is_told_of_background_people_only(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Encoded] = []

    def listen(model: Any, texts: list[Encoded], *_: Any) -> None:
        seen.extend(texts)
        raise Killed

    def tuned(**corpus: Any) -> None:
        config = replace(
            GIVEN.config,
            inject=MaskedConfig(cycles=0),
            instruct=InstructConfig(train=TrainConfig(steps=1)),
        )
        given = replace(GIVEN, config=config, corpus=replace(CORPUS, **corpus))
        protocol_lacuna.injected(tmp_path, base=start, given=given)

    def told(items: Any) -> set[tuple[int, ...]]:
        tokenizer = load(start, MODEL).tokenizer
        return {tuple(text.ids) for text in encode_examples(tokenizer, MODEL.prompt, items)}

    monkeypatch.setattr(protocol_lacuna, "instruct", listen)
    with pytest.raises(Killed):
        tuned()
    others = [*CORPUS.forget, *CORPUS.retain, *CORPUS.holdout]
    assert {tuple(text.ids) for text in seen} == told(CORPUS.background)
    assert not told(CORPUS.background) & told(others)
    assert not {i.person for i in CORPUS.background} & {i.person for i in others}
    with pytest.raises(UserError, match="instruct needs background people, whom nobody forgets"):
        tuned(background=())
