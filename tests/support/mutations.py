"""Files as bad luck and bad will leave them: mutated byte by byte, and field by field."""

import copy
import json
import struct
from typing import Any

from hypothesis import strategies as st

ODD: list[Any] = [
    None, True, -1, 0, 1, 0.5, 1e308, -1e-300, 10**30, 2**63, float("nan"), float("inf"),
    "", " ", "x", "..", "../elsewhere.safetensors", "/etc/passwd", "a\x00b", "\ud800", "9" * 5000,
    [], {}, [[]], [None], {"": None}, ["x"] * 50, "é😀", "\u202eabc", "model.safetensors",
]  # fmt: skip
"""Values that a field may have by mistake or on purpose."""


@st.composite
def bytes_of(draw: st.DrawFn, data: bytes, first: int | None = None) -> bytes:
    """`data` with a few changes, all within its `first` bytes where given."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        end = min(len(changed), first or len(changed))
        at = draw(st.integers(0, max(0, end - 1)))
        what = draw(st.sampled_from(["set", "flip", "cut", "insert", "double", "end"]))
        size = draw(st.integers(1, 40))
        if what == "set" and changed:
            changed[at] = draw(st.integers(0, 255))
        elif what == "flip" and changed:
            changed[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del changed[at : at + size]
        elif what == "insert":
            changed[at:at] = draw(st.binary(max_size=40))
        elif what == "double":
            changed[at:at] = changed[at : at + size]
        else:
            del changed[at:]
    return bytes(changed)


@st.composite
def fields_of(draw: st.DrawFn, value: Any) -> Any:
    """A JSON value in which a few entries, at any depth, are odd, gone, or called otherwise."""
    made = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(made))
        if not places:
            return draw(st.sampled_from(ODD))
        holder, key = draw(st.sampled_from(places))
        what = draw(st.sampled_from(["odd", "odd", "odd", "gone", "renamed"]))
        if what == "odd":
            holder[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
        elif what == "gone":
            del holder[key]
        elif isinstance(holder, dict):
            holder[draw(st.text(max_size=8))] = holder.pop(key)
    return made


def _places(value: Any) -> Any:
    """(holder, key) of every entry."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    if isinstance(value, dict | list):
        for key, one in inner:
            yield value, key
            if isinstance(one, dict | list):
                yield from _places(one)


def json_bytes(value: Any) -> bytes:
    """As Python writes it: with NaN and halves of letters."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def header_of(file: bytes) -> tuple[Any, bytes]:
    """The header of a safetensors file, and its data."""
    (size,) = struct.unpack("<Q", file[:8])
    return json.loads(file[8 : 8 + size]), file[8 + size :]


def with_header(header: Any, data: bytes) -> bytes:
    """The file of both."""
    told = json_bytes(header)
    return struct.pack("<Q", len(told)) + told + data
