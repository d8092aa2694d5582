"""The store at a URL: uploads whole or absent, copies compared, originals rebuilt."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem
from support.stores import KEY, ROOT, STAGE, MemoryCoordinator, files_below, new_database, writing

from lacuna.errors import UserError
from sweeps.engine.worker import Runtime, attempt, pack
from sweeps.stage import Stage
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.open import open_storage
from sweeps.store.remote import RemoteStorage
from sweeps.store.storage import name_of
from sweeps.store.store import Store
from sweeps.store.upkeep import collect
from sweeps.tracking.client import RunLocation, connect

NAME = name_of(KEY, 1)


@dataclass
class Site:
    """A URL, and hosts that share nothing but it and the coordinator."""

    url: str
    folder: Path
    coordinator: MemoryCoordinator = field(default_factory=MemoryCoordinator)

    def __post_init__(self) -> None:
        local = {"auto_mkdir": True} if self.url.startswith("file:") else {}  # as a bucket does
        self.fs, self.root = fsspec.core.url_to_fs(self.url, **local)

    def host(self, name: str, **options: Any) -> Store[MemoryCoordinator]:
        return Store(RemoteStorage(self.url, self.folder / name), self.coordinator, **options)

    def files(self) -> list[str]:
        return sorted(path[len(self.root) + 1 :] for path in self.fs.find(self.root))

    def write(self, path: str, content: bytes) -> None:
        self.fs.pipe_file(f"{self.root}/{path}", content)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server on loopback, with a bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        S3FileSystem.clear_instance_cache()
        S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
        S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture(params=["memory", "file", "s3"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "s3":
        yield Site(f"{request.getfixturevalue('s3')}/{tmp_path.name}", tmp_path)
        return
    if request.param == "file":
        yield Site(f"file://{tmp_path}/bucket/results", tmp_path)
        return
    site = Site(f"memory://{tmp_path.name}/results", tmp_path)
    yield site
    if site.fs.exists(site.root):
        site.fs.rm(site.root, recursive=True)


RESULT = [f"{NAME}/{file}" for file in ("manifest.json", "summary.json", "weights/a.bin")]


def test_a_result_is_uploaded_once_and_fetched_once_by_each_host(site: Site) -> None:
    ran: list[str] = []
    made = site.host("one").produce(STAGE, writing("first", ran), lambda: "run7")
    assert made == site.folder / "one" / NAME and site.files() == RESULT
    other = site.host("two")
    assert other.summaries([KEY]) == {KEY: {"score": 0.5}}
    assert (other.manifest(KEY) or {})["run_id"] == "run7"
    assert not list((site.folder).glob("two/*"))  # a look needs no copy
    copy = other.produce(STAGE, writing("second", ran))
    assert copy == site.folder / "two" / NAME
    assert (copy / "weights" / "a.bin").read_text() == "first" and ran == ["first"]
    site.fs.rm(f"{site.root}/{NAME}/weights/a.bin")
    assert site.host("two").get(KEY) == copy  # compared, not fetched again
    assert site.host("three").get(KEY) is None


def test_the_manifest_is_uploaded_last(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    put = site.fs.put_file

    def noted(local: str, remote: str, **options: Any) -> None:
        order.append(remote.removeprefix(f"{site.root}/{NAME}/"))
        put(local, remote, **options)

    monkeypatch.setattr(site.fs, "put_file", noted)
    site.host("one").produce(STAGE, writing("x"))
    assert order == ["summary.json", "weights/a.bin", "manifest.json"]


def flip(site: Site) -> str:
    site.write(f"{NAME}/weights/a.bin", b"fisrt")
    return "weights/a.bin differs from its manifest (sha256)"


def truncate(site: Site) -> str:
    site.write(f"{NAME}/weights/a.bin", b"firs")
    return "weights/a.bin has 4 bytes instead of 5"


def edit_manifest(site: Site) -> str:
    path = f"{NAME}/manifest.json"
    manifest = json.loads(site.fs.cat_file(f"{site.root}/{path}"))
    site.write(path, json.dumps({**manifest, "label": "another"}).encode())
    return "manifest.json differs from its commit record"


def remove_manifest(site: Site) -> str:
    site.fs.rm(f"{site.root}/{NAME}/manifest.json")
    return "manifest.json does not exist"


def remove_file(site: Site) -> str:
    site.fs.rm(f"{site.root}/{NAME}/weights/a.bin")
    return "weights/a.bin does not exist"


DAMAGE = [flip, truncate, edit_manifest, remove_manifest, remove_file]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_by_who_fetches_and_the_result_is_rebuilt(
    site: Site, caplog: pytest.LogCaptureFixture, damage: Callable[[Site], str]
) -> None:
    site.host("one").produce(STAGE, writing("first"))
    problem = damage(site)
    other = site.host("two")
    assert other.storage.damages(NAME, site.coordinator.committed(KEY).sha256) == [problem]
    assert other.get(KEY) is None
    assert f"{other.storage.root}/{NAME}/{problem}" in caplog.text
    assert site.coordinator.committed(KEY) is None
    assert not [path for path in files_below(site.folder / "two") if "lock" not in path]
    again = other.produce(STAGE, writing("second"))
    assert again.name == f"{KEY}.2" and site.host("three").get(KEY) is not None
    assert (again / "weights" / "a.bin").read_text() == "second"


@pytest.mark.parametrize("damage", [d for d in DAMAGE if d is not flip])
def test_a_plan_sees_all_damage_but_that_of_equal_size(
    site: Site, caplog: pytest.LogCaptureFixture, damage: Callable[[Site], str]
) -> None:
    site.host("one").produce(STAGE, writing("first"))
    problem = damage(site)
    assert site.host("two").summaries([KEY]) == {}
    assert f"{NAME}/{problem}" in caplog.text and site.coordinator.committed(KEY) is None


def test_a_changed_summary_is_never_read(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.host("one").produce(STAGE, writing("first"))
    summary = site.fs.cat_file(f"{site.root}/{NAME}/summary.json")
    site.write(f"{NAME}/summary.json", summary.replace(b"0.5", b"0.9"))
    assert site.host("two").summary(KEY) is None
    assert "summary.json differs from its manifest" in caplog.text


def test_a_spoilt_copy_is_fetched_again_and_costs_nobody_the_original(site: Site) -> None:
    copy = site.host("one").produce(STAGE, writing("first")) / "weights" / "a.bin"
    copy.write_text("spoil")
    assert site.host("one").get(KEY) == copy.parents[1] and copy.read_text() == "first"
    assert site.coordinator.committed(KEY) is not None


def test_a_download_that_breaks_once_is_no_damage(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.host("one").produce(STAGE, writing("first"))
    get, calls = site.fs.get_file, list[str]()

    def flaky(remote: str, local: str, **options: Any) -> None:
        get(remote, local, **options)
        calls.append(remote)
        if len(calls) == 1:
            Path(local).write_text("")

    monkeypatch.setattr(site.fs, "get_file", flaky)
    assert site.host("two").get(KEY) is not None and site.coordinator.committed(KEY) is not None
    assert len(calls) == 4


def test_of_many_readers_on_a_host_one_downloads(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.host("one").produce(STAGE, writing("first"))
    get, calls = site.fs.get_file, list[str]()

    def slow(remote: str, local: str, **options: Any) -> None:
        calls.append(remote)
        time.sleep(0.05)
        get(remote, local, **options)

    monkeypatch.setattr(site.fs, "get_file", slow)
    hosts = [site.host("two") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda host: host.get(KEY), hosts)) == {site.folder / "two" / NAME}
    assert len(calls) == 2


def test_a_failed_upload_leaves_nothing_and_passes_on(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = site.fs.put_file, list[str]()

    def full(local: str, remote: str, **options: Any) -> None:
        calls.append(remote)
        if len(calls) == 2:
            raise OSError("the bucket is full")
        put(local, remote, **options)

    with monkeypatch.context() as patch:
        patch.setattr(site.fs, "put_file", full)
        with pytest.raises(OSError, match="the bucket is full"):
            site.host("one").produce(STAGE, writing("x"))
    assert site.files() == [] and files_below(site.folder / "one") == []
    assert site.coordinator.leases(KEY)[0].state == "failed"
    assert site.host("one").produce(STAGE, writing("x")).name == f"{KEY}.2"


def test_what_another_tracking_store_uploaded_is_never_overwritten(site: Site) -> None:
    def late(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        other = Site(site.url, site.folder)  # a coordinator that knows nothing of our claim
        other.host("two").produce(STAGE, writing("theirs"))
        return writing("ours")(inputs, out)

    with pytest.raises(FileExistsError, match=f"{KEY}.1 exists: do two tracking stores use it"):
        site.host("one").produce(STAGE, late)
    assert site.fs.cat_file(f"{site.root}/{NAME}/weights/a.bin") == b"theirs"
    again = site.host("one").produce(STAGE, writing("ours"))
    assert again.name == f"{KEY}.2"


def test_a_stalled_uploader_loses_and_removes_its_own(site: Site) -> None:
    entered, resume = threading.Event(), threading.Event()

    def stalled(inputs: Mapping[str, Path], out: Path) -> dict[str, Any]:
        entered.set()
        resume.wait(20)
        return writing("stalled")(inputs, out)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(site.host("one", ttl=0.3, beat=1000.0).produce, STAGE, stalled)
        entered.wait()
        site.host("two", ttl=0.3, beat=0.05).produce(STAGE, writing("new"))
        resume.set()
        assert (first.result() / "weights" / "a.bin").read_text() == "new"
    assert {path.split("/")[1] for path in site.files()} == {f"{KEY}.2"}


def test_an_upload_that_is_killed_is_replaced_and_removed(tmp_path: Path) -> None:
    uri = new_database(tmp_path / "mlflow.db")
    code = """
import os, sys
from pathlib import Path
from fsspec.implementations.local import LocalFileSystem
from sweeps.store.mlflow_coordinator import MlflowCoordinator
from sweeps.store.remote import RemoteStorage
from sweeps.stage import Stage
from sweeps.store.store import Store
from sweeps.tracking.client import connect
def work(inputs, out):
    (out / "half.bin").write_bytes(bytes(1000))
    return {}
put, calls = LocalFileSystem.put_file, []
def killed(self, local, remote, **options):
    put(self, local, remote, **options)
    calls.append(remote)
    if len(calls) == int(sys.argv[4]):
        os._exit(9)
LocalFileSystem.put_file = killed
storage = RemoteStorage(sys.argv[1], Path(sys.argv[2]))
store = Store(storage, MlflowCoordinator(connect(sys.argv[3])))
store.produce(Stage("killed", "killed", {}, {}, {}), work)
"""
    url, stage = f"file://{tmp_path}/bucket", Stage("killed", "killed", {}, {}, {})
    command = [sys.executable, "-c", code, url, str(tmp_path / "one"), uri]
    assert subprocess.run([*command, "1"], cwd=ROOT).returncode == 9  # one file of three is there
    assert [path[67:] for path in files_below(tmp_path / "bucket")] == [".1/half.bin"]
    assert subprocess.run([*command, "3"], cwd=ROOT).returncode == 9  # all, but not published
    assert {path[67:70] for path in files_below(tmp_path / "bucket")} == {".2/"}
    store = Store(RemoteStorage(url, tmp_path / "one"), MlflowCoordinator(connect(uri)))
    assert store.get(stage.key) is None
    assert store.produce(stage, writing("x")).name.endswith(".3")
    said: list[str] = []
    collect(store, 0.0, True, said.append)
    assert said[-1].startswith("removed: 1, ") and "no commit record" in said[0]
    assert {path[67:70] for path in files_below(tmp_path / "bucket")} == {".3/"}
    assert not list((tmp_path / "one").glob("*/.*.part"))


def test_a_worker_uses_a_url_as_it_uses_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    place = RunLocation(new_database(tmp_path / "mlflow.db"), "toys", "0")
    child = Stage("toy", "child", {}, {"base": KEY}, {})

    def on(host: str, stage: Stage) -> dict[str, str]:
        url, cache = f"file://{tmp_path}/bucket", str(tmp_path / host)
        runtime = Runtime(place, url, "test_store_remote.execute", session=host, cache=cache)
        return attempt(runtime, pack(stage))

    assert on("one", STAGE)["how"] == "trained"
    assert on("two", child)["how"] == "trained"
    assert on("three", child)["how"] == "reused"
    assert (tmp_path / "two" / NAME / "a.bin").read_text() == "0"
    assert (tmp_path / "three" / name_of(child.key, 1) / "a.bin").read_text() == "1"
    (tmp_path / "bucket" / NAME / "a.bin").write_text("7")
    outcome = on("four", Stage("toy", "other", {"n": 2}, {"base": KEY}, {}))
    assert outcome["how"] == "failed" and "was damaged and set aside (file:///" in outcome["reason"]
    assert "a.bin differs from its manifest (sha256)): run the study again" in outcome["reason"]
    assert on("four", STAGE)["how"] == "trained"


def execute(stage: Stage, inputs: Mapping[str, Path], out: Path, on_step: object) -> dict[str, Any]:
    (out / "a.bin").write_text(str(len(inputs)))
    return {}


def test_a_url_that_needs_another_package_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)  # as where it is not installed
    with pytest.raises(UserError) as caught:
        open_storage("gs://bucket/prefix", tmp_path)
    assert str(caught.value) == (
        "store=gs://bucket/prefix cannot be used: Please install gcsfs to access Google Storage "
        f"(fsspec here is {fsspec.__version__}: take the same version)"
    )
