"""`python -m lacuna.audit --before DIR --after DIR`, or `lacuna audit ...`.

Exit status: 0 done, 1 not or in part, 2 bad input.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from lacuna.errors import UserError
from lacuna.results import AuditRecord, BehaviourRecord

if TYPE_CHECKING:
    from lacuna.data.base import Corpus
    from lacuna.data.tokens import Prompt

DEFAULT_OUT = Path("audit")


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        """Raises `UserError` in place of printing the usage and ending the process."""
        raise UserError(f"{message}: see {self.prog} --help")


def main(arguments: Sequence[str], program: str = "python -m lacuna.audit") -> int:
    """Run one audit; errors that a user can mend are one line on stderr."""
    try:
        print(run(parser(program).parse_args(arguments)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (OSError, Partial) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; what was compared is in the folder of --out", file=sys.stderr)
        return 1
    return 0


def parser(program: str, width: int | None = None) -> Parser:
    """The options of `program`; its help is `width` columns wide, or as wide as the terminal."""
    made = Parser(
        prog=program,
        formatter_class=partial(argparse.HelpFormatter, width=width),
        description="What changed between two checkpoints of one model, where, and does what was "
        "forgotten come back? Weights are read from safetensors a piece at a time.",
    )
    add = made.add_argument
    add("--before", type=Path, required=True, metavar="DIR", help="checkpoint before unlearning")
    add("--after", type=Path, required=True, metavar="DIR", help="checkpoint after it")
    add("--base", type=Path, metavar="DIR", help="the model before it knew the facts")
    add(
        "--control",
        type=Path,
        nargs=2,
        metavar="DIR",
        help="before and after of the same unlearning where facts were trained without masks",
    )
    add("--region", type=Path, metavar="FILE", help="true region or group masks (safetensors)")
    add("--forget", type=Path, metavar="FILE", help="JSON lines with question and answer")
    add("--retain", type=Path, metavar="FILE", help="the same, of facts that must stay")
    add("--prompt", metavar="TEMPLATE", help='how to ask; default "Question: {question}\\nAnswer:"')
    add("--separator", metavar="TEXT", help='between a plain prompt and its answer; default " "')
    add("--chat", action="store_true", help="ask by the checkpoints' own chat template")
    add("--system", metavar="TEXT", help="system message of the chat; default: the template's own")
    add("--dtype", choices=("float32", "bfloat16"), default="float32", help="of loaded models")
    add("--no-attacks", action="store_true", help="with data: skip relearning and rounding")
    add("--seed", type=int, default=0, help="of nulls and attacks (0)")
    add("--out", type=Path, default=DEFAULT_OUT, metavar="DIR", help="for index.html, audit.json")
    return made


def run(given: argparse.Namespace) -> str:
    """Audit, write the page and the JSON, and return what to print.

    Raises `UserError` for bad input: headers, regions and data are read before any weight.
    """
    # Imported here: a mistyped option is answered before torch is loaded.
    from lacuna.audit.precision import Comparison
    from lacuna.audit.summary import findings, read_truths, summarise
    from lacuna.model.architecture import hush

    hush()
    comparison = Comparison.open(
        given.before, given.after, given.base, given.control or (), given.seed
    )
    layout = comparison.before.layout
    truths = read_truths(given.region, layout) if given.region else {}
    asked = _questions(given)
    plainly = [] if asked is None else _preflight(given, *asked)
    weights = summarise(comparison, truths)
    waiting = None if asked is None else "behaviour was not asked yet"
    record: AuditRecord = {
        **weights,
        "behaviour": None,
        "missing": waiting,
        "findings": findings(weights),
    }
    _write(given.out, record)  # kept, whatever becomes of the rest
    if asked is not None:
        try:
            record["behaviour"] = _behaviour(given, *asked)
            record["missing"] = None
        except (UserError, RuntimeError) as error:  # the latter: out of memory, on a GPU
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            record["missing"] = f"behaviour could not be asked: {reason}"
        record["findings"] = [*findings(weights, record["behaviour"]), *plainly]
        _write(given.out, record)
    said = "\n".join([*record["findings"], f"{given.out / 'index.html'}, audit.json"])
    if record["missing"] is not None:
        print(said)
        raise Partial(record["missing"])
    return said


class Partial(Exception):
    """The audit is written but for a part of it: which, and why."""


def _write(folder: Path, record: AuditRecord) -> None:
    """The page and the JSON."""
    # Only now: what the report imports takes 100 MB, and the weights are done.
    from lacuna.artifacts import write_json, write_text
    from lacuna.audit.page import page
    from lacuna.report.table import rounded

    write_json(folder / "audit.json", rounded(record))
    write_text(folder / "index.html", page(record))


def _preflight(given: argparse.Namespace, corpus: "Corpus", prompt: "Prompt") -> list[str]:
    """Check every model that is to be asked, before any weight is compared; what to know of it."""
    from lacuna.model import preflight

    examples, speaking = [*corpus.forget, *corpus.retain], []
    for name in ("before", "after", "base"):
        folder = getattr(given, name)
        if folder is not None:
            found = preflight(folder, None, prompt, examples, attention="auto")
            speaking += [name] if found.chat != "none" else []
    if prompt.chat or not speaking:
        return []
    return [
        f"{' and '.join(speaking)} can chat and {'was' if len(speaking) == 1 else 'were'} asked "
        f"plainly: what a chat brings out is not measured (--chat)."
    ]


def _questions(given: argparse.Namespace) -> "tuple[Corpus, Prompt] | None":
    """What to ask and how, where data is given, else None."""
    if given.forget is None and given.retain is None:
        return None
    if given.forget is None or given.retain is None:
        raise UserError(
            "--forget and --retain go together: probes and benign training learn from the facts "
            "that stay"
        )
    from lacuna.data.base import Corpus
    from lacuna.data.sources.jsonl import read_split
    from lacuna.data.tokens import Prompt, typed

    forget, retain = read_split(given.forget, "forget"), read_split(given.retain, "retain")
    asked = {"template": given.prompt, "separator": given.separator, "system": given.system}
    said = {name: typed(text) for name, text in asked.items() if text is not None}
    prompt = Prompt(chat=given.chat, **said)
    return Corpus(name=given.forget.stem, forget=forget, retain=retain), prompt


def _behaviour(given: argparse.Namespace, corpus: "Corpus", prompt: "Prompt") -> BehaviourRecord:
    from lacuna.attack import AttackConfig
    from lacuna.audit.behaviour import behaviour

    folders = {"before": given.before, "after": given.after}
    if given.base is not None:
        folders["base"] = given.base
    attacks = None if given.no_attacks else AttackConfig()
    return behaviour(
        folders, corpus, prompt=prompt, dtype=given.dtype, attacks=attacks, seed=given.seed
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
