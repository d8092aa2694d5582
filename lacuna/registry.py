"""Named methods: a read-only mapping that knows what you meant."""

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

from lacuna.errors import UserError

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Maps a method's public name to its class or function.

    Looking up an unknown name raises `UserError` with the nearest known names.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files its target under `name`; a name can be taken once."""

        def add(item: T) -> T:
            assert name not in self._items, f"{self.kind} {name!r} is registered twice"
            self._items[name] = item
            return item

        return add

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            raise UserError(f"unknown {self.kind} {name!r}{suggest(name, self._items)}")
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


def import_methods(package: str) -> None:
    """Import every module of a folder of methods, in order of name: each registers itself."""
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")


def suggest(name: str, known: Mapping[str, object] | list[str]) -> str:
    """The tail of an error line: nearest names first, else all of them."""
    close = get_close_matches(name, list(known), n=3)
    if close:
        return f": did you mean {' or '.join(map(repr, close))}?"
    return f": choose one of {', '.join(sorted(known))}"
