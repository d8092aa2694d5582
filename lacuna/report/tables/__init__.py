"""The tables of a study: a file each, in the order of the page."""

from lacuna.registry import import_methods
from lacuna.report.labels import labelled, labels
from lacuna.report.results import Results
from lacuna.report.table import TABLES, Table, make

__all__ = ["TABLES", "tables"]

import_methods("lacuna.report.tables")


def tables(results: Results, *, of_run: bool = False) -> list[Table]:
    """The tables that tell of the study, or those that tell of this run, in the page's order.

    Where checkpoints ship with a causal report, what stands on them says which of them failed it;
    where the gold standard recites what it must not know, every table says so.
    """
    names = sorted(TABLES, key=lambda name: (TABLES[name].order, name))
    made = [make(name, results) for name in names if TABLES[name].of_run == of_run]
    known = labels(results)
    return [labelled(one, known) for one in made if one.rows or not TABLES[one.name].optional]
