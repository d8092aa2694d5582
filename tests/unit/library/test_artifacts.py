"""Files are whole or absent, and equal values have equal digests."""

import errno
import json
import math
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lacuna.artifacts import (
    canonical,
    digest,
    file_digest,
    read_json,
    whole_folder,
    write_json,
    write_text,
)
from lacuna.errors import UserError
from lacuna.tensors import save_tensors, writing
from sweeps.store.local import LocalStorage


def test_canonical_json_ignores_the_order_of_keys_and_refuses_nan() -> None:
    assert canonical({"b": [1, 2.5], "a": None}) == '{"a":null,"b":[1,2.5]}'
    assert digest({"x": 1, "y": 2}) == digest({"y": 2, "x": 1}) != digest({"x": 1, "y": 3})
    with pytest.raises(ValueError):
        canonical({"loss": math.nan})


def test_digests_are_the_known_sha256(tmp_path: Path) -> None:
    # sha256 of "{}" and of the empty file, from any other tool
    assert digest({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    (tmp_path / "empty").touch()
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert file_digest(tmp_path / "empty") == empty


def test_a_whole_folder_appears_at_once_with_its_files(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "result"
    with whole_folder(target) as part:
        (part / "inner").mkdir()
        (part / "inner" / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "inner" / "a.txt").read_text() == "a"
    assert [path.name for path in target.parent.iterdir()] == ["result"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()]
)
def test_a_whole_folder_leaves_nothing_on_an_error(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), whole_folder(tmp_path / "result") as part:
        (part / "half.txt").write_text("half")
        raise error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_the_umask_decides_who_may_read_a_result(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        with whole_folder(tmp_path / "result") as part:
            save_tensors(part / "weights.safetensors", {"w": torch.zeros(2)})
            os.close(os.open(part / "private", os.O_CREAT | os.O_WRONLY, 0o600))
        save_tensors(tmp_path / "alone.safetensors", {"w": torch.zeros(2)})
        LocalStorage(tmp_path / "store").identity()
    finally:
        os.umask(before)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {
        "weights.safetensors", "private", "alone.safetensors", "store-id",
    }  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}


def test_weights_beside_files_of_others_leave_those_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "token").touch(0o600)
    with writing(tmp_path):
        save_file({"w": torch.zeros(2)}, tmp_path / "model.safetensors")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    usual = tmp_path / "usual"
    usual.touch()
    assert modes == {"token": 0o600, "model.safetensors": stat.S_IMODE(usual.stat().st_mode)}


def test_a_whole_folder_clears_what_a_killed_attempt_of_the_same_process_left(
    tmp_path: Path,
) -> None:
    with whole_folder(tmp_path / "probe") as part:
        private = part.name
    old = tmp_path / private.replace("probe", "result")
    old.mkdir()
    (old / "stale.txt").write_text("stale")
    with whole_folder(tmp_path / "result") as part:
        (part / "new.txt").write_text("new")
    assert [path.name for path in (tmp_path / "result").iterdir()] == ["new.txt"]


def test_a_failed_write_keeps_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(ValueError):
        write_json(path, {"x": math.inf})
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "half \ud800")
    assert json.loads(path.read_text()) == {"x": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_or_broken_json_file_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gone.json does not exist"):
        read_json(tmp_path / "gone.json")
    (tmp_path / "broken.json").write_text('{"a": 1,\n oops}')
    with pytest.raises(UserError, match=r"broken.json:2: not valid JSON") as caught:
        read_json(tmp_path / "broken.json")
    assert "\n" not in str(caught.value)
