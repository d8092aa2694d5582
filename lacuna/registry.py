"""Named methods: a read-only mapping that knows what you meant, and finds installed plug-ins.

A method registers itself when its module is imported. Those of the library lie in folders of
methods (`import_methods`); those of other packages are found by an entry point in their
`pyproject.toml`, in the group of their kind, whatever its name:

    [project.entry-points."lacuna.objectives"]
    capped_ga = "my_package.capped_ga"

The module is imported when the registry is first looked at, once per process.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from typing import ClassVar, TypeVar

from lacuna.errors import UserError

T = TypeVar("T")
BROKEN = (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError, OSError)
"""What importing somebody else's module may raise, most of all under other versions than theirs."""


class Registry(Mapping[str, T]):
    """Maps a method's public name to its class or function.

    Looking up an unknown name raises `UserError` with the nearest known names; so does the first
    look where a plug-in cannot be imported, or takes a name that is taken.
    """

    def __init__(self, kind: str) -> None:
        """`kind` is what a method is called, such as `objective`; entry points are looked for in
        the group `lacuna.objectives`."""
        self.kind = kind
        self.group = f"lacuna.{kind.replace(' ', '_')}s"
        self._items: dict[str, T] = {}
        self._searched = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files its target under `name`; a name can be taken once."""

        def add(item: T) -> T:
            other = self._items.get(name)
            if other is not None and _origin(other) != _origin(item):
                raise UserError(
                    f"{self.kind} {name!r} is registered twice, by {_origin(other)} and "
                    f"{_origin(item)}: rename one, or uninstall its package"
                )
            self._items[name] = item
            return item

        return add

    def __getitem__(self, name: str) -> T:
        if name not in self._all:
            raise UserError(f"unknown {self.kind} {name!r}{suggest(name, self._items)}")
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def _all(self) -> Mapping[str, T]:
        """All methods, those of plug-ins too."""
        if not self._searched:
            self._searched = True  # a plug-in may look at what is known while it is imported
            try:
                for point in sorted(entry_points(group=self.group), key=_package_first):
                    _import(point)
            except UserError:
                self._searched = False  # the next look finds the same fault
                raise
        return self._items


def _package_first(point: EntryPoint) -> tuple[str, str]:
    return _package(point), point.name


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module


def _import(point: EntryPoint) -> None:
    """Import a plug-in's module, whose methods register themselves."""
    where = f"package {_package(point)} (entry point {point.name} = {point.value}"
    where += f" of {point.group})"
    try:
        point.load()
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    except BROKEN as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(
            f"{where} cannot be imported: {reason}: repair it, or uninstall the package"
        ) from error


def _origin(item: object) -> str:
    """Module and name of a method, as an error shows it."""
    name = getattr(item, "__qualname__", None)
    return f"{item.__module__}.{name}" if name else repr(item)


def import_methods(package: str, first: Sequence[str] = ()) -> None:
    """Import every module of a folder of methods: each registers itself.

    Modules named in `first` come in that order, all others after them in order of name.
    """
    found = [module.name for module in iter_modules(import_module(package).__path__)]
    for name in [*first, *sorted({*found} - {*first})]:
        import_module(f"{package}.{name}")


class Revised:
    """A registered method, or a measurement, whose results are kept under keys of its options."""

    revision: ClassVar[int] = 1
    """Raised by one whenever the same options come to give other results. Above 1 it is part of the
    keys of all stages that hold such results, so that they are computed anew and nothing else is.
    """


def revisions(methods: Mapping[str, type[Revised]]) -> dict[str, int]:
    """Name -> revision, of those that have been revised."""
    return {name: method.revision for name, method in methods.items() if method.revision > 1}


def suggest(name: str, known: Mapping[str, object] | list[str]) -> str:
    """The tail of an error line: nearest names first, else all of them."""
    close = get_close_matches(name, list(known), n=3)
    if close:
        return f": did you mean {' or '.join(map(repr, close))}?"
    return f": choose one of {', '.join(sorted(known))}" if known else ""
