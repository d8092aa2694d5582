"""From what an injected model recites to the facts that a study works on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lacuna.artifacts import read_json
from lacuna.data import DATA, SplitConfig
from lacuna.errors import UserError
from lacuna.inject import MaskConfig
from lacuna.pipeline import splits as module
from lacuna.pipeline.splits import divide, regroup, working
from lacuna.results import files

FIELDS = ("birth_city", "email", "licence")
MASKS, SPLITS = MaskConfig(), SplitConfig(people=6, validation_people=3)


def corpus(people: int = 36) -> Any:
    source = DATA["profiles"]
    config = source.Config(num_people=people, fields=FIELDS, num_background=0, num_neutral=0)
    return source.load(config)


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Facts of which the model answers one prompt only; of all others every one."""
    weak: set[str] = set()

    def fake(loaded: Any, facts: Any, *, max_tokens: int) -> dict[str, tuple[str, ...]]:
        assert max_tokens == 512 and all(len(a.prompts) == 3 for a in facts), "those trained"
        return {a.fact.id: a.prompts[: 1 if a.fact.id in weak else 3] for a in facts}

    monkeypatch.setattr(module, "memorised", fake)
    return weak


def drawn(out: Path, seed: int = 1, config: SplitConfig = SPLITS) -> Any:
    grouped = regroup(corpus(), MASKS, seed)
    return divide(out, None, grouped, MASKS, config, seed, 512)  # type: ignore[arg-type]


def test_splits_are_drawn_from_what_is_recited_and_written_beside_it(
    tmp_path: Path, forgetful: set[str]
) -> None:
    grouped = regroup(corpus(), MASKS, 1)
    cities = [item for item in grouped.facts if item.field == "birth_city"]
    forgetful |= {item.id for item in cities[::3]}
    told = drawn(tmp_path)
    assert told["memorised"]["birth_city"] == {"facts": 36, "memorised": 24, "share": 2 / 3}
    assert told["memorised"]["email"]["share"] == 1.0
    assert told["splits"]["main"] == {"forget": 6, "retain": 6}
    assert told["splits"]["licence"] == told["splits"]["email"] == {"forget": 3, "retain": 3}
    assert read_json(tmp_path / files.SPLITS)["memorised"] == told["memorised"]
    found = working(corpus(), MASKS, 1, tmp_path)
    assert not {item.id for item in found.forget} & forgetful
    sides = {"birth_city": (found.forget, True), "email": (found.retain, False)}
    for field, (items, forgotten) in sides.items():
        assert {item.field for item in items} == {field}
        assert {grouped.groups[i.person] in MASKS.forget_groups for i in items} == {forgotten}
    known = {item.person for item in found.relearn}
    assert len(known) == told["splits"]["relearn"]["people"] > 0
    assert not known & {item.person for item in (*found.forget, *found.retain)}


def test_a_validation_field_takes_the_place_of_the_main_ones(
    tmp_path: Path, forgetful: set[str]
) -> None:
    drawn(tmp_path)
    main, tuned = (working(corpus(), MASKS, 1, tmp_path, field) for field in (None, "licence"))
    assert {item.field for item in tuned.forget} == {"licence"}
    assert {item.field for item in tuned.retain} == {"email"}
    people = [{i.person for i in (*c.forget, *c.retain)} for c in (main, tuned)]
    assert not people[0] & people[1]


def test_too_few_memorised_people_leave_nothing_behind(tmp_path: Path, forgetful: set[str]) -> None:
    forgetful |= {item.id for item in regroup(corpus(), MASKS, 1).facts if item.field == "email"}
    said = r"^masked.splits: people=6: only 0 people of the retain groups have a memorised email"
    with pytest.raises(UserError, match=said):
        drawn(tmp_path)
    assert not list(tmp_path.iterdir())
    other = replace(SPLITS, retain_field="licence", validation_people=0)
    assert drawn(tmp_path, config=other)["memorised"]["email"]["memorised"] == 0


def test_without_a_book_the_groups_decide_alone(tmp_path: Path) -> None:
    source = DATA["synthetic"]
    plain = source.load(source.Config(num_forget=6, num_retain=6, num_background=0))
    assert working(plain, MASKS, 1, None) == regroup(plain, MASKS, 1).corpus
