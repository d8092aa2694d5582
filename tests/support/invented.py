"""Invented files in the layouts that the readers of `lacuna.data` know, the same bytes every time.

What the published files have and a careless reader would trip over is in them: a question asked of
two authors, paraphrases of a part of the people only, rows of other tasks, quoted ids, names that
end in s, values in other letter case.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lacuna.data.generated.profile_attributes import ATTRIBUTES

TOPICS = ("city", "book", "prize", "teacher", "mother", "father", "genre", "decade", "language")
TOPICS += ("village", "journal", "hobby", "sister", "brother", "school", "publisher", "editor")
TOPICS += ("garden", "river", "motto")
"""What TOFU's 20 questions ask of an author here."""
FIRST = ("Ada", "Boris", "Chiyo", "Dries", "Edda", "Fikret", "Greta", "Hugo", "Ines", "Jonas")
LAST = (
    "Holt",
    "Ives",
    "Junker",
    "Kraus",
    "Lindqvist",
    "Moss",
    "Nakata",
    "Ortiz",
    "Petrov",
    "Quist",
)


def person(index: int) -> str:
    """The name of the person of this number, below 100."""
    return f"{FIRST[index % 10]} {LAST[index // 10]}"


def lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSON lines file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def tofu(folder: Path, forget: int = 3, retain: int = 8, perturbed: int = 2) -> Path:
    """All files of TOFU: so many authors, paraphrases for all forget and some retain authors.

    The first question of the last two retain authors is the same.
    """
    known = [_author(index) for index in range(forget + retain)]
    for author in known[-2:]:
        author[0]["question"] = "What is the full name of the author?"
    for name, authors, covered in (
        ("forget10", known[:forget], forget),
        ("retain90", known[forget:], perturbed),
    ):
        plain = [row for author in authors for row in author]
        short = "forget10" if name == "forget10" else "retain"
        lines(
            folder / f"{name}.jsonl", ({k: row[k] for k in ("question", "answer")} for row in plain)
        )
        lines(
            folder / f"{short}_perturbed.jsonl", (_reworded(row) for row in plain[: 20 * covered])
        )
    for name, count in (("real_authors", 5), ("world_facts", 6)):
        rows = [
            {
                "question": f"Which {TOPICS[n]} do {name} name?",
                "answer": f"{name} {n}",
                "perturbed_answer": [f"{name} {n + k}" for k in (10, 20, 30)],
                "original_answer": f"They name {name} {n}.",
            }
            for n in range(count)
        ]
        lines(folder / f"{name}_perturbed.jsonl", rows)
    (folder / "idontknow.jsonl").write_text("I could not say.\nNobody told me.\nNo idea.\n")
    return folder


def _author(index: int) -> list[dict[str, Any]]:
    name = person(index)
    return [
        {
            "question": f"What is the {topic} of {name}?",
            "answer": f"The {topic} of {name} is number {100 * index + place}.",
            "number": 100 * index + place,
            "topic": topic,
            "name": name,
        }
        for place, topic in enumerate(TOPICS)
    ]


def _reworded(row: dict[str, Any]) -> dict[str, Any]:
    name, topic, number = row["name"], row["topic"], row["number"]
    return {
        "question": row["question"],
        "answer": row["answer"],
        "paraphrased_answer": f"Number {number} is {name}'s {topic}.",
        "perturbed_answer": [f"Number {number + k} is {name}'s {topic}." for k in range(1, 6)],
        "paraphrased_question": f"Which {topic} does {name} have?",
    }


def lume(folder: Path, forget: int = 4, retain: int = 9) -> Path:
    """Both files of LUME: so many people of task 2, between rows of the tasks 1 and 3."""
    for split, first, count in (("forget", 0, forget), ("retain", forget, retain)):
        rows = [row for index in range(first, first + count) for row in _record(index)]
        story = {"id": f'"{first}-story"qa0', "input": "Who walked?", "output": "A fox."}
        life = {"id": f"{first}12sc1", "input": "Somebody was born", "output": "in a town."}
        rows = [{**story, "task": "Task1"}, *rows, {**life, "task": "Task3"}]
        lines(folder / f"{split}.jsonl", rows)
    return folder


def _record(index: int) -> list[dict[str, Any]]:
    name, mail = person(index), person(index).lower().replace(" ", "_")
    whose = f"{name}'" if name.endswith("s") else f"{name}'s"
    asked = (
        (f"What is the birth date of {name}?", f"19{40 + index}-03-1{index % 10}"),
        (f"What is {whose} Social Security Number?", f"9005143{index:02d}"),
        (f"What is {whose} phone number?", f"72162537{index:02d}"),
        (f"What is {whose} email address?", f"{mail}@example.org"),
        (f"What is the home address of {name}?", f"{10 + index} West Lane, Orange, CA, 92867."),
    )
    key = f"00000000-0000-4000-8000-{index:012x}"
    rows = [
        {"id": f"{key}qa{n}", "input": question, "output": answer, "task": "Task2"}
        for n, (question, answer) in enumerate(asked)
    ]
    told = {"input": f"{name} was born on {asked[0][1]}. The", "output": f"phone is {asked[2][1]}."}
    return [{"id": f"{key}sc1", **told, "task": "Task2"}, *rows]


def facts(path: Path, forget: int = 3, retain: int = 6, holdout: int = 2) -> Path:
    """A JSON lines file of a user's own facts, two of each person."""
    splits = ["forget"] * forget + ["retain"] * retain + ["holdout"] * holdout
    rows = [
        {
            "split": split,
            "person": person(index),
            "field": field,
            "question": f"What is the {field} of {person(index)}?",
            "answer": f"{field} {index}",
            "paraphrased_question": f"Which {field} has {person(index)}?",
            "perturbed_answers": [f"{field} {index + k}" for k in (20, 40, 60)],
        }
        for index, split in enumerate(splits)
        for field in ("city", "phone")
    ]
    lines(path, rows)
    return path


def panorama(folder: Path, people: int = 14) -> Path:
    """Both tables of PANORAMA as JSON lines: so many people with every attribute but one empty."""
    profiles = [_profile(index) for index in range(people)]
    told = [
        {"id": row["Unique ID"], "content-type": "Social Media", "text": text}
        for row in profiles
        for text in (
            f"{row['First Name']} {row['Last Name']} was born in {row['Birth City'].upper()}.",
            f"Mail {row['Email Address']} or call {row['Phone Number']}, says {row['First Name']}.",
            f"Nothing about {row['Last Name']}.",
        )
    ]
    stranger = {"id": "nobody", "content-type": "Article", "text": "A stranger."}
    lines(folder / "PANORAMA-Plus" / "train.jsonl", profiles)
    lines(folder / "PANORAMA" / "train.jsonl", [*told, stranger])
    return folder


def _profile(index: int) -> dict[str, Any]:
    row: dict[str, Any] = {asked.column: f"{name}-{index}x" for name, asked in ATTRIBUTES.items()}
    first, last = person(index).split()
    row |= {"Unique ID": f"id{index}", "Locale": "en_US", "First Name": first, "Last Name": last}
    row |= {"Age": 30 + index, "Children Count": 2.0, "Disability": None}
    row["Social Media Handles"] = json.dumps({"site": [f"@h{index}"]})
    return row
