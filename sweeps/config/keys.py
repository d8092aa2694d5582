"""Every key a user may type, with its type, default and help, read from the schema itself.

The help of a key is the string that follows its field in the source of the dataclass.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import get_type_hints

from lacuna.data import DATA
from sweeps.config.schema import Study


@dataclass(frozen=True)
class Key:
    """One key; a section holds others and has no value of its own."""

    name: str
    type: str
    default: object
    help: str
    section: bool = False
    only_with: str = ""
    """The choice that brings this key, such as `data=tofu`."""


def keys() -> Iterator[Key]:
    """All keys in the order of the schema, the keys of every data source among them."""
    for key in _keys(Study, ""):
        yield key
        if key.name == "data":
            for name, source in sorted(DATA.items()):
                yield from _keys(source.Config, "data.", f"data={name}")


def _keys(config: type, prefix: str, only_with: str = "", defaults: object = None) -> Iterator[Key]:
    """The keys of a dataclass; `defaults` is what the field that holds it has as its default."""
    hints, helps = get_type_hints(config), field_help(config)
    for field in fields(config):
        hint, text = hints[field.name], helps.get(field.name, "")
        default = _default(field) if defaults is None else getattr(defaults, field.name)
        name = prefix + field.name
        if is_dataclass(hint):
            kind = type(default)  # a subclass of the hint where methods bring the fields
            yield Key(name, "section", None, text or _first_line(kind), True, only_with)
            yield from _keys(kind, f"{name}.", only_with, default)
        else:
            yield Key(name, _type_text(hint), default, text, False, only_with)


def field_help(config: type) -> dict[str, str]:
    """The string after each field of a dataclass, inherited fields included, as one line."""
    found: dict[str, str] = {}
    for owner in reversed(config.__mro__):
        if is_dataclass(owner):
            found.update(_strings_after_fields(owner))
    return found


@cache
def _strings_after_fields(owner: type) -> Mapping[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(owner)))
    except (OSError, TypeError):  # a class made at run time has no source
        return {}
    (made,) = tree.body
    assert isinstance(made, ast.ClassDef)
    found = {}
    for node, after in zip(made.body, made.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            text = ast.get_docstring(ast.Module([after], [])) if isinstance(after, ast.Expr) else ""
            if text:
                found[node.target.id] = " ".join(text.split())
    return found


def _default(field: "Field[object]") -> object:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return None if field.default is MISSING else field.default


def _first_line(config: type) -> str:
    return (config.__doc__ or "").partition("\n")[0]


def _type_text(hint: object) -> str:
    text = hint.__name__ if isinstance(hint, type) and not hasattr(hint, "__args__") else str(hint)
    return text.replace("typing.", "")
