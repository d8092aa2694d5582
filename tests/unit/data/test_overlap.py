"""Facts in two splits: refused with their number, however they are written."""

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from support import invented
from support.families import facts

from lacuna.audit.__main__ import main
from lacuna.data import DATA, Corpus
from lacuna.data.base import Example
from lacuna.data.overlap import plain
from lacuna.errors import UserError
from sweeps.config.compose import configure
from sweeps.plan.make import make_planner

KNOWN = facts()[0]


def again(example: Example = KNOWN, **changed: str) -> Example:
    return replace(example, id="again", person="Somebody else", **changed)


DISGUISED = {
    "word for word": again(),
    "case": again(question=KNOWN.question.upper(), answer=KNOWN.answer.lower()),
    "blanks": again(question=f"  {KNOWN.question.replace(' ', '   ')}", answer=f"{KNOWN.answer}\n"),
    "hard blanks": again(question=KNOWN.question.replace(" ", "\u00a0")),
    "full width": again(answer="".join(chr(ord(c) + 0xFEE0) for c in KNOWN.answer)),
    "invisible": again(answer="\u200b".join(KNOWN.answer)),
    "full stop": again(answer=f"{KNOWN.answer}."),
    "as a paraphrase": again(question="?", paraphrased_question=KNOWN.question),
}


@pytest.mark.parametrize("form", DISGUISED)
def test_a_fact_in_both_splits_is_refused_in_any_form(form: str) -> None:
    retain = (*facts()[6:], DISGUISED[form])
    with pytest.raises(UserError, match=r"1 facts of forget stand in retain too .*Ada Holt city"):
        Corpus(name="x", forget=facts()[:6], retain=retain)


@pytest.mark.parametrize("side", ["holdout", "background"])
def test_what_nobody_learns_and_what_the_base_model_knows_are_apart_too(side: str) -> None:
    with pytest.raises(UserError, match=f"6 facts of forget stand in {side}"):
        Corpus(name="x", forget=facts()[:6], retain=facts()[6:], **{side: facts()[:6]})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="6 facts of retain stand in holdout"):
        Corpus(name="x", forget=facts()[:6], retain=facts()[6:], holdout=facts()[6:])


LEGAL = {
    "another answer": again(answer="Oslo"),
    "another question": again(question="Where does Ada Holt live?"),
    "a mark that makes a letter": again(answer="Lisbön"),
    "no dash": again(answer="Lis-bon"),
}


@pytest.mark.parametrize("form", LEGAL)
def test_another_fact_is_another_fact(form: str) -> None:
    Corpus(name="x", forget=facts()[:6], retain=(*facts()[6:], LEGAL[form]))


@pytest.mark.parametrize("text", ["Žlutý kůň", "Ελλάδα", "가나다", "İstanbul", "ﬁn", "北京、上海"])
def test_every_unicode_form_of_a_text_is_the_same_text(text: str) -> None:
    forms = {plain(unicodedata.normalize(form, text)) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    assert len(forms) == 1 and forms != {""}


def lines(path: Path, split: str, *examples: Example) -> Path:
    keys = ("id", "question", "answer", "person", "field")
    rows = [{"split": split, **{key: getattr(one, key) for key in keys}} for one in examples]
    with path.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return path


def test_a_study_of_such_a_file_is_refused_at_planning(tmp_path: Path) -> None:
    path = lines(tmp_path / "facts.jsonl", "forget", *facts()[:6])
    lines(path, "retain", *facts()[6:], *(replace(f, id=f"{f.id} 2") for f in facts()[:4]))
    with pytest.raises(UserError, match="4 facts of forget stand in retain too"):
        make_planner(configure(["study=smoke", "data=jsonl", f"data.path={path}"]))


def test_an_audit_with_such_files_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from support.families import named, save

    save(named("llama"), tmp_path / "model")
    forget = lines(tmp_path / "forget.jsonl", "forget", *facts()[:6])
    retain = lines(tmp_path / "retain.jsonl", "retain", *facts()[4:])
    words = ["--before", tmp_path / "model", "--after", tmp_path / "model", "--forget", forget]
    assert main([*map(str, words), "--retain", str(retain), "--out", str(tmp_path / "out")]) == 2
    assert "2 facts of forget stand in retain too" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_published_splits_that_do_not_belong_together_are_refused_by_content(
    tmp_path: Path,
) -> None:
    invented.tofu(tmp_path)
    source = DATA["tofu"]
    config = source.Config(path=str(tmp_path))
    source.load(config)
    forget, retain = (tmp_path / f"{name}.jsonl" for name in ("forget10", "retain90"))
    retain.write_text(retain.read_text() + forget.read_text())
    with pytest.raises(UserError, match=r"\d+ facts of forget stand in retain too"):
        source.load(config)
