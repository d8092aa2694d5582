"""PANORAMA in its published layout: small local files, matched by value."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest
from datasets import Dataset

from lacuna.data import DATA, Corpus
from lacuna.data.generated.profile_attributes import ATTRIBUTES
from lacuna.errors import UserError

PANORAMA = DATA["panorama"]
FIRST, LAST = ("Ann", "Bob", "Cy", "Di"), ("Orr", "Poe", "Quin")


def person(index: int) -> dict[str, Any]:
    row: dict[str, Any] = {asked.column: f"{name}-{index}x" for name, asked in ATTRIBUTES.items()}
    row |= {"Unique ID": f"id{index}", "Locale": "en_US", "Age": 30 + index, "Children Count": 2.0}
    row |= {"First Name": FIRST[index % 4], "Last Name": LAST[index // 4]}
    row["Social Media Handles"] = json.dumps({"site": [f"@h{index}"]})
    row["Disability"] = None
    return row


PEOPLE = [person(index) for index in range(12)]
TEXTS = [
    {"id": f"id{i}", "content-type": "Social Media", "text": text}
    for i, row in enumerate(PEOPLE)
    for text in (
        f"{row['First Name']} {row['Last Name']} was born in {row['Birth City'].upper()}.",
        f"Mail {row['Email Address']} or call {row['Phone Number']}, says {row['First Name']}.",
        "Nothing about anybody.",
    )
]
STRANGER = {"id": "nobody", "content-type": "Article", "text": "A stranger."}


def write(folder: Path, kind: str, people: list[dict[str, Any]] = PEOPLE) -> Path:
    for name, rows in (("PANORAMA-Plus", people), ("PANORAMA", [*TEXTS, STRANGER])):
        if kind == "parquet":
            (folder / name / "data").mkdir(parents=True)
            half = len(rows) // 2
            for part, some in enumerate((rows[:half], rows[half:])):
                file = folder / name / "data" / f"train-0000{part}-of-00002.parquet"
                Dataset.from_list(some).to_parquet(str(file))
        else:
            (folder / name).mkdir(parents=True)
            lines = "\n".join(json.dumps(row) for row in rows)
            (folder / name / "train.jsonl").write_text(lines)
    return folder


def load(folder: Path, **settings: Any) -> Corpus:
    given = {"num_people": 12, "prompts": 3, **settings}
    return PANORAMA.load(PANORAMA.Config(path=str(folder), **given))


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_people_sentences_and_values_are_read(tmp_path: Path, kind: str) -> None:
    corpus = load(write(tmp_path, kind))
    book = corpus.book
    assert book is not None and set(book.known) == {
        f"{row['First Name']} {row['Last Name']}" for row in PEOPLE
    }
    known = book.known["Bob Orr"]
    assert len(known) == 25 and "disability" not in known, "an empty cell is no fact"
    assert (known["age"], known["children"], known["handle"]) == ("31", "2", "@h1")
    fields = {s.text[:8]: set(s.fields) for s in book.sentences["Bob Orr"]}
    assert fields == {
        "Bob Orr ": {"birth_city"},
        "Mail ema": {"email", "phone"},
        "Nothing ": set(),
    }
    assert book.prefixes("Bob Orr", "birth_city") == ("Bob Orr was born in",)
    repeats = {t.answer[:4]: t.repeats for t in book.told("Bob Orr") if not t.prompt}
    assert repeats == {"Bob ": 5000, "Mail": 5000, "Noth": 1}
    assert len(corpus.forget) == len(corpus.retain) == 6 * 25


def test_both_layouts_give_the_same_corpus(tmp_path: Path) -> None:
    one, two = (load(write(tmp_path / kind, kind)).digest() for kind in ("jsonl", "parquet"))
    assert one == two


def test_the_hub_has_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {"srirxml/PANORAMA-Plus": PEOPLE, "srirxml/PANORAMA": [*TEXTS, STRANGER]}
    monkeypatch.setattr(datasets, "load_dataset", lambda hub, *_, **__: tables[hub])
    found = PANORAMA.load(PANORAMA.Config(num_people=12, prompts=3))
    assert found.digest() == load(write(tmp_path, "jsonl")).digest()


def test_a_handle_that_is_no_list_of_handles_is_left_out(tmp_path: Path) -> None:
    broken = {**PEOPLE[0], "Social Media Handles": '{"site": [@h'}
    corpus = load(write(tmp_path, "jsonl", [broken, *PEOPLE[1:]]))
    assert corpus.book is not None
    assert ["handle" in corpus.book.known[name] for name in ("Ann Orr", "Bob Orr")] == [False, True]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_people": 3}, "num_people=3: 6 groups need one"),
        ({"num_holdout": -1}, "num_holdout=-1"),
    ],
)
def test_counts_out_of_bounds_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        PANORAMA.Config(**settings)


def test_a_namesake_and_a_repeated_row_are_left_out(tmp_path: Path) -> None:
    namesake = {**PEOPLE[0], "Unique ID": "other", "Birth City": "elsewhere"}
    again = {**PEOPLE[1], "First Name": "Zoe"}
    corpus = load(write(tmp_path, "jsonl", [*PEOPLE, namesake, again]))
    assert corpus.book is not None and len(corpus.book.known) == 12
    assert corpus.book.known["Ann Orr"]["birth_city"] == "birth_city-0x"


def test_people_are_drawn_by_seed_and_holdout_people_are_others(tmp_path: Path) -> None:
    write(tmp_path, "jsonl")
    drawn = []
    for seed in (0, 1):
        corpus = load(tmp_path, num_people=8, num_holdout=2, seed=seed)
        assert corpus.book is not None
        held = {item.person for item in corpus.holdout}
        assert len(corpus.book.known) == 8 and len(held) == 2
        assert not held & set(corpus.book.known)
        drawn.append(set(corpus.book.known))
    assert drawn[0] != drawn[1]
    with pytest.raises(UserError, match="12 people of different names: ask for fewer"):
        load(tmp_path, num_people=12, num_holdout=1)


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="PANORAMA-Plus has no .jsonl and no .parquet"):
        load(tmp_path)
    short = [{k: v for k, v in row.items() if k != "Blood Type"} for row in PEOPLE]
    write(tmp_path / "a", "jsonl", short)
    with pytest.raises(UserError, match="no 'Blood Type': use PANORAMA-Plus as published"):
        load(tmp_path / "a")
    assert load(tmp_path / "a", fields=("email", "phone")).forget
    broken = write(tmp_path / "b", "jsonl") / "PANORAMA" / "more.parquet"
    broken.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match="more.parquet is not a readable parquet file"):
        load(tmp_path / "b")
