"""LACUNA's protocol: who is forgotten, which weights that means, where checkpoints come from."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny import tiny_model, tiny_region

from lacuna.data import DATA, Corpus
from lacuna.errors import UserError
from lacuna.inject import MaskConfig
from lacuna.model import layout
from lacuna.model import load as loading
from lacuna.model.load import local_checkpoint
from lacuna.pipeline.protocol_lacuna import ProtocolConfig
from lacuna.pipeline.splits import regroup
from lacuna.region import draw_masks, draw_weights_outside, overlap, scored_shapes


def corpus(forget: int = 7, retain: int = 6) -> Corpus:
    source = DATA["synthetic"]
    return source.load(source.Config(num_forget=forget, num_retain=retain, num_background=2))


def test_every_seed_has_its_own_forget_people() -> None:
    whole, masks = corpus(), MaskConfig()
    everybody = {item.id for item in [*whole.forget, *whole.retain]}
    found = {seed: regroup(whole, masks, seed) for seed in (1, 2)}
    for grouped in found.values():
        sizes = [list(grouped.groups.values()).count(group) for group in range(6)]
        assert sorted(sizes) == [2, 2, 2, 2, 2, 3], "13 people in 6 groups"
        ids = {s: {i.id for i in getattr(grouped.corpus, s)} for s in ("forget", "retain")}
        assert ids["forget"] | ids["retain"] == everybody and not ids["forget"] & ids["retain"]
        for split, sides in (("forget", {0, 2, 4}), ("retain", {1, 3, 5})):
            people = {item.person for item in getattr(grouped.corpus, split)}
            assert {grouped.groups[person] for person in people} == sides
    assert found[1].groups != found[2].groups
    assert regroup(whole, masks, 1) == found[1]
    with pytest.raises(UserError, match="6 groups need as many people, the data has 5"):
        regroup(corpus(2, 3), masks, 1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"method": "sgtmm"}, "did you mean 'sgtm'"),
        ({"method": "sgtm"}, "masked.masks.unit=vector"),
        ({"held_out": 0}, "at least 1"),
    ],
)
def test_protocols_that_cannot_work_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=text):
        ProtocolConfig(**options)


def test_overlap_with_single_weights_counts_weights() -> None:
    model = tiny_model()
    shape = layout(model)
    masks = draw_masks(shape.architecture, scored_shapes(shape), 4, 0.1, seed=0)
    truth = masks.union([0, 1])
    same = overlap(truth, truth)
    assert same["precision"] == same["recall"] == 1.0 and len(same["by_layer"]) == 2
    free = masks.union(range(4)).complement()
    apart = overlap(draw_weights_outside(truth, free, seed=1), truth)
    assert apart["precision"] == apart["recall"] == 0.0
    half = overlap(masks.union([0]), truth)
    assert half["precision"] == 1.0
    assert half["recall"] == pytest.approx(len(masks.union([0])) / len(truth))
    vectors = tiny_region(model)
    found = overlap(vectors, truth)
    both = chosen = 0
    for name, columns in vectors.columns.items():
        held = truth.mask(f"{name}.weight")[:, columns]
        both, chosen = both + int(held.sum()), chosen + held.numel()
    assert found["precision"] == pytest.approx(both / chosen)
    assert found["recall"] == pytest.approx(both / len(truth))


def test_checkpoints_come_from_folders_or_the_hub_and_never_as_pickles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert local_checkpoint(str(tmp_path)) == tmp_path
    with pytest.raises(UserError, match="no such folder; of the hub, write hub:"):
        local_checkpoint(str(tmp_path / "none"))
    asked: list[tuple[str, Any, list[str]]] = []

    def download(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        if name == "/":
            raise ValueError("Repo id must use alphanumeric chars")
        asked.append((name, revision, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(loading, "snapshot_download", download)
    assert local_checkpoint("hub:owner/name/masked/tuned@abc") == tmp_path / "masked/tuned"
    assert asked[0][:2] == ("owner/name", "abc")
    patterns = asked[0][2]
    assert "masked/tuned/*.safetensors" in patterns
    assert not any(kind in pattern for pattern in patterns for kind in ("bin", "pt"))
    with pytest.raises(UserError, match="cannot load model 'hub:name'"):
        local_checkpoint("hub:name")


def test_masks_leave_room_or_are_refused() -> None:
    shape = layout(tiny_model())
    scored = sum(torch.Size(size).numel() for size in scored_shapes(shape).values())
    everything = sum(torch.Size(size).numel() for size in shape.weights.values())
    assert MaskConfig().density(shape, 0.05) == pytest.approx(0.05 * everything / scored)
    with pytest.raises(UserError, match="at most 1 in all"):
        MaskConfig().density(shape, 0.2)
