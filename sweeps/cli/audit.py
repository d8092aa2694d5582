"""`lacuna audit`: any pair of checkpoints, by the library's own command."""

import typer


def audit(context: typer.Context) -> int:
    """Say what changed between two checkpoints, and where."""
    from lacuna.audit.__main__ import main

    return main(context.args, "lacuna audit")
