"""The command `lacuna`: a module per verb, each of which imports what it needs when it runs."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from lacuna.errors import UserError
from sweeps.cli import audit, config, finished, model, run, scan, store, ui
from sweeps.cli.words import renamed
from sweeps.errors import exit_status

QUIET = {"HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
THROUGH = {"ignore_unknown_options": True, "allow_extra_args": True}

app = typer.Typer(
    name="lacuna",
    help="Plant facts where you know, unlearn them, and see what is left.",
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("run", epilog=run.CHOICES)(run.run)
app.command("plan", epilog=run.CHOICES)(run.plan)
app.command("status")(run.status)
app.command("scan")(scan.scan)
app.command("config")(config.config)
app.command("report")(finished.report)
app.command("compare")(finished.compare)
app.command("across")(finished.across)
shelf = typer.Typer(help="What the store holds, whether it is whole, what can go.")
for _verb in (store.ls, store.verify, store.gc):
    shelf.command()(_verb)
app.add_typer(shelf, name="store")
models = typer.Typer(help="Pretrained models.")
models.callback()(lambda: None)  # with a single verb typer would leave the verb out
models.command()(model.get)
app.add_typer(models, name="model")
app.command("audit", add_help_option=False, context_settings=THROUGH)(audit.audit)
app.command("ui")(ui.ui)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: exit status 0 done, 1 not, 2 bad input, said in one line on stderr."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    words = sys.argv[1:] if arguments is None else list(arguments)
    return exit_status(lambda: _invoke(renamed(words) or ["--help"]), "stopped")


def _invoke(words: list[str]) -> int:
    command = typer.main.get_command(app)
    try:
        return int(command.main(words, "lacuna", standalone_mode=False) or 0)
    except typer.TyperException as error:
        context = getattr(error, "ctx", None)
        hint = f": see {context.command_path} --help" if context else ""
        text = " ".join(error.format_message().split())
        raise UserError(f"{text.removesuffix('.')}{hint}") from error


def reference(width: int = 100) -> Iterator[tuple[str, str]]:
    """(command, its help) of every command, from `lacuna` on, as a terminal would show it."""
    yield from _helps(typer.main.get_command(app), "lacuna", None, width)


def _helps(
    command: Any, path: str, parent: typer.Context | None, width: int
) -> Iterator[tuple[str, str]]:
    """Of one command and those below it; typer keeps the type of a command to itself."""
    if command.name == "audit":
        from lacuna.audit.__main__ import parser

        yield path, parser(path, width).format_help()
        return
    settings = {"parent": parent, "resilient_parsing": True, "terminal_width": width}
    context = command.make_context(path.split()[-1], [], **settings)
    yield path, command.get_help(context)
    for name, below in getattr(command, "commands", {}).items():
        yield from _helps(below, f"{path} {name}", context, width)
