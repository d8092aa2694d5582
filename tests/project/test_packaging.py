"""The locks say what pyproject.toml says; reproduce.sh makes, mends and uses its environment."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from support import ROOT
from support.needs import needs

from sweeps.cli import reference

FULL = ROOT / "docker/requirements.lock"
CPU = ROOT / "docker/requirements-cpu.lock"
CUDA_ONLY = re.compile(r"(triton|nvidia-.*|cuda-.*)$")

# Stands in for Python: answers version questions, "makes" environments by copying itself, and
# notes what pip was asked to install and what would have been run, and where results would go.
SHIM = """#!/bin/sh
for last; do :; done
case "$*" in
*"import platform"*) echo "${SHIM_VERSION:-3.11.7}" ;;
*"import sys, torch"*) exit "${SHIM_GPU:-0}" ;;
*"-m venv"*)
    echo venv >>"$SHIM_LOG"
    sleep "${SHIM_SLEEP:-0}"
    mkdir -p "$last/bin" && cp "$0" "$last/bin/python" ;;
*"-m pip install"*"--editable"*)
    echo "project $last" >>"$SHIM_LOG"
    exit "${SHIM_NO_PROJECT:-0}" ;;
*"-m pip install"*)
    asked=$(cat "$last")
    echo "pip $(echo "$asked" | grep -c '^[a-z]') $(echo "$asked" | head -n 1)" >>"$SHIM_LOG"
    case "$asked" in "${SHIM_REFUSES:-nothing}"*) echo "No matching distribution"; exit 1 ;; esac ;;
"-P "*)
    echo "in $PWD, to ${LACUNA_ARTIFACTS:-nowhere}"
    shift
    printf '<%s>' "$@"
    exit "${SHIM_STATUS:-0}" ;;
esac
"""

Start = Callable[..., subprocess.CompletedProcess[str]]


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", lock.read_text(), re.MULTILINE))


def requirements(lock: Path) -> list[str]:
    return lock.read_text().replace("\\\n", " ").splitlines()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout as small as reproduce.sh can do with, without an environment."""
    root = tmp_path / "checkout"
    (root / "docker").mkdir(parents=True)
    (root / "artifacts").mkdir()
    shutil.copy(ROOT / "reproduce.sh", root)
    shutil.copy(ROOT / "pyproject.toml", root)
    for file in (FULL, CPU, ROOT / "docker/environment.sh"):
        shutil.copy(file, root / "docker")
    return root


@pytest.fixture
def start(copy: Path, tmp_path: Path) -> Start:
    """Runs the copy's reproduce.sh with the stand-in Python."""
    shim = tmp_path / "python"
    shim.write_text(SHIM)
    shim.chmod(0o755)

    def run(*words: str, cwd: Path = tmp_path, **env: str) -> subprocess.CompletedProcess[str]:
        environment: Mapping[str, str] = {
            "PATH": "/usr/bin:/bin",
            "PYTHON": str(shim),
            "SHIM_LOG": str(tmp_path / "log"),
            "LACUNA_TORCH": "cpu",
            **env,
        }
        return subprocess.run(
            [copy / "reproduce.sh", *words],
            cwd=cwd,
            env={name: value for name, value in environment.items() if value},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture
def log(tmp_path: Path) -> Callable[[], list[str]]:
    """What the stand-in was asked to make and install since the last question."""

    def read() -> list[str]:
        path = tmp_path / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    return read


def test_every_dependency_is_pinned_in_the_lock_at_its_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"], *extras["gguf"]]
    locked = pins(FULL)
    for requirement in wanted:
        name, version = re.sub(r"\[.*?\]", "", requirement).split("==")
        assert locked[name] == version, requirement


def test_the_cpu_lock_is_the_full_lock_without_cuda() -> None:
    full, cpu = pins(FULL), pins(CPU)
    assert cpu.pop("torch") == full.pop("torch") + "+cpu"
    assert cpu == {name: pin for name, pin in full.items() if not CUDA_ONLY.match(name)}
    assert {"nvidia-cudnn-cu13", "triton"} <= full.keys() - cpu.keys()


@pytest.mark.parametrize("lock", [FULL, CPU], ids=lambda path: path.name)
def test_every_locked_line_is_a_version_with_hashes_and_no_address(lock: Path) -> None:
    line = re.compile(r"[a-z0-9-]+==[\w.+!]+( +--hash=sha256:[0-9a-f]{64})+ *$")
    assert [text for text in requirements(lock) if not line.match(text)] == []
    assert len(requirements(lock)) > 100


def test_the_shell_files_parse() -> None:
    scripts = ("environment.sh", "lock.sh", "check_image.sh")
    for name in ("reproduce.sh", ".ci/run", *(f"docker/{script}" for script in scripts)):
        subprocess.run(["bash", "-n", ROOT / name], check=True)


def test_help_needs_no_environment(copy: Path, start: Start) -> None:
    for flag in ("-h", "--help"):
        result = start(flag, PYTHON="/nowhere/python")
        assert result.returncode == 0
        assert "[STUDY] [key=value ...]" in result.stdout
    assert not (copy / ".venv").exists()


def test_a_missing_python_is_one_line_and_status_2(copy: Path, start: Start) -> None:
    result = start(PYTHON="/nowhere/python")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "/nowhere/python is not Python 3.11 or newer" in result.stderr
    assert not (copy / ".venv").exists()


def test_a_wrong_torch_choice_is_refused(start: Start) -> None:
    result = start(LACUNA_TORCH="rocm")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "LACUNA_TORCH=rocm: choose cpu or cuda" in result.stderr


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        ((), "<run>"),
        (("tofu",), "<run><tofu>"),
        (("seed=3", "plan=true"), "<run><seed=3><plan=true>"),
        (("tofu", "data.path=../a b"), "<run><tofu><data.path=../a b>"),
        (("mini", "--overrides", ""), "<run><mini>"),
        (("mini", "--overrides", "seed=3 plan=true"), "<run><mini><seed=3><plan=true>"),
        (("mini", "a=1", "--overrides", "seed=3"), "<run><mini><a=1><seed=3>"),
        (("run", "smoke"), "<run><smoke>"),
        (("report", "smoke"), "<report><smoke>"),
        (("compare", "mini", "artifacts=/a"), "<compare><mini><artifacts=/a>"),
        (("report", "mini", "--overrides", ""), "<report><mini>"),
        (("audit", "--before", "a b"), "<audit><--before><a b>"),
        (("audit", "--overrides", "--region r"), "<audit><--region><r>"),
        (("store", "gc", "--delete"), "<store><gc><--delete>"),
        (("ui",), "<ui>"),
    ],
)
def test_words_reach_the_command_line_with_the_folder_of_results(
    copy: Path, start: Start, tmp_path: Path, words: tuple[str, ...], passed: str
) -> None:
    result = start(*words, SHIM_STATUS="7")
    assert result.returncode == 7
    assert result.stdout == f"in {tmp_path}, to {copy}/artifacts\n<-m><sweeps>{passed}"


def test_every_command_is_one_of_the_wrapper_s_too() -> None:
    commands = [path.split()[1] for path, _ in reference() if len(path.split()) == 2]
    text = (ROOT / "reproduce.sh").read_text()
    (known,) = re.findall(r"^    ([a-z |]+)\)\n        lacuna ", text, re.M)
    assert sorted(known.split(" | ")) == sorted(commands)


def test_results_go_where_the_environment_says(start: Start) -> None:
    assert ", to /results\n" in start("smoke", LACUNA_ARTIFACTS="/results").stdout


def test_an_image_s_environment_is_taken_as_it_is(
    copy: Path, start: Start, log: Callable[[], list[str]]
) -> None:
    start()
    log()
    (copy / ".venv/fixed").touch()
    (copy / ".venv/stamp").unlink()
    assert start("smoke", LACUNA_TORCH="cuda", PYTHON="").returncode == 0
    assert log() == []


@pytest.fixture
def driver(tmp_path: Path) -> Callable[[str], str]:
    """Puts an nvidia-smi that says what it is told to on a PATH."""

    def made(says: str) -> str:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{says}\n")
        (folder / "nvidia-smi").chmod(0o755)
        return f"{folder}:/usr/bin:/bin"

    return made


def test_an_old_driver_is_refused_in_one_line(start: Start, driver: Callable[[str], str]) -> None:
    path = driver("echo 570.86.15; echo 570.86.15")
    start("setup")
    refused = start("mini", PATH=path, SHIM_GPU="1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.count("\n") == 1
    assert "NVIDIA driver 570.86.15 is too old for CUDA 13.0: update it to 580" in refused.stderr
    assert "<-m><sweeps>" in start("mini", PATH=path).stdout  # torch can use the GPU all the same


@pytest.mark.parametrize(
    ("says", "env"),
    [
        ("echo 580.65.06", {}),
        ("echo NVIDIA-SMI has failed; exit 9", {}),
        ("echo 570.86.15", {"CUDA_VISIBLE_DEVICES": " "}),
        ("exit 1", {}),
    ],
    ids=["new enough", "no driver", "hidden", "nothing said"],
)
def test_other_drivers_are_none_of_its_business(
    start: Start, driver: Callable[[str], str], says: str, env: dict[str, str]
) -> None:
    path = driver(says)
    assert start("mini", PATH=path, SHIM_GPU="1", **env).returncode == 0


def test_tests_run_in_the_checkout(copy: Path, start: Start) -> None:
    said = start("test", "-k", "mixing").stdout
    assert said == f"in {copy}, to nowhere\n<-m><pytest><-k><mixing>"


def test_an_environment_is_made_once(
    copy: Path, start: Start, log: Callable[[], list[str]]
) -> None:
    assert start().returncode == 0
    count = len(pins(CPU))
    assert log() == [
        "venv",
        f"pip 1 setuptools=={pins(CPU)['setuptools']} \\",
        f"pip 1 torch=={pins(CPU)['torch']} \\",
        f"pip {count} {requirements(CPU)[0].split()[0]} \\",
        f"project {copy}",
    ]
    again = start()
    assert (again.returncode, again.stderr, log()) == (0, "", [])
    assert start(PYTHON="").returncode == 0
    assert log() == []


def test_another_place_or_project_file_installs_the_command_anew_and_nothing_else(
    copy: Path, start: Start, log: Callable[[], list[str]]
) -> None:
    start()
    log()
    with (copy / "pyproject.toml").open("a") as stream:
        stream.write("\n")
    assert start().returncode == 0
    assert log() == [f"project {copy}"]
    moved = copy.with_name("moved")
    copy.rename(moved)
    copy.symlink_to(moved)  # the fixture still starts the old path
    assert start().returncode == 0
    assert log() == [f"project {moved}"]
    assert start().returncode == 0 and log() == []


def test_a_command_that_cannot_be_installed_is_tried_again(
    start: Start, log: Callable[[], list[str]]
) -> None:
    result = start(SHIM_NO_PROJECT="1")
    assert result.returncode == 1 and "could not install the command lacuna" in result.stderr
    log()
    assert start().returncode == 0
    assert [line.split()[0] for line in log()] == ["project"]


def test_the_command_installs_where_the_source_has_yet_to_come(tmp_path: Path) -> None:
    """As in the image, whose source is copied last; elsewhere than this environment."""
    root, prefix = tmp_path / "root", tmp_path / "prefix"
    root.mkdir()
    shutil.copy(ROOT / "pyproject.toml", root)
    text = (ROOT / "docker/environment.sh").read_text()
    (line,) = re.findall(r'"\$venv/bin/python" (-m pip .*\n.* --editable) "\$root"', text)
    options = [*line.replace("\\\n", " ").split(), str(root)]
    subprocess.run(
        [sys.executable, *options, "--prefix", prefix, "--ignore-installed"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert [path.name for path in root.iterdir()] == ["pyproject.toml"]
    (link,) = prefix.rglob("*.pth")
    assert link.read_text().split() == [str(root)]
    (root / "sweeps").mkdir()
    (root / "sweeps/__init__.py").touch()  # else a package installed here would come first
    (root / "sweeps/cli.py").write_text("def main():\n    return 7\n")
    started = subprocess.run([prefix / "bin/lacuna"], env={"PYTHONPATH": link.read_text().strip()})
    assert started.returncode == 7


def break_stamp(root: Path) -> None:
    (root / ".venv/stamp").unlink()


def break_interpreter(root: Path) -> None:
    (root / ".venv/bin/python").unlink()


def break_packages(root: Path) -> None:
    python = root / ".venv/bin/python"
    python.write_text(
        python.read_text().replace('case "$*" in\n', 'case "$*" in\n*find_spec*) exit 1 ;;\n', 1)
    )


def change_lock(root: Path) -> None:
    with (root / "docker/requirements.lock").open("a") as stream:
        stream.write("\n")


@pytest.mark.parametrize("damage", [break_stamp, break_interpreter, break_packages, change_lock])
def test_a_damaged_or_outdated_environment_is_made_anew(
    copy: Path, start: Start, log: Callable[[], list[str]], damage: Callable[[Path], None]
) -> None:
    start()
    log()
    (copy / ".venv/leftover").touch()
    damage(copy)
    assert start().returncode == 0
    assert log()[0] == "venv"
    assert not (copy / ".venv/leftover").exists()
    start()
    assert log() == []


def test_two_starts_at_once_make_one_environment(
    start: Start, log: Callable[[], list[str]]
) -> None:
    with ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda _: start(SHIM_SLEEP="1"), range(2)))
    assert [result.returncode for result in results] == [0, 0]
    assert log().count("venv") == 1
    assert sum("waiting for another start" in result.stderr for result in results) == 1


def test_another_python_version_makes_it_anew(start: Start, log: Callable[[], list[str]]) -> None:
    start()
    log()
    start(SHIM_VERSION="3.12.1")
    assert log()[0] == "venv"


def test_a_failed_installation_shows_the_reason_and_is_not_taken_for_done(
    copy: Path, start: Start, log: Callable[[], list[str]]
) -> None:
    result = start(SHIM_REFUSES=requirements(CPU)[0].split()[0])
    assert result.returncode == 1
    assert "No matching distribution" in result.stderr
    assert str(copy / ".venv/setup.log") in result.stderr
    assert not (copy / ".venv/stamp").exists()
    log()
    assert start().returncode == 0
    assert log()[0] == "venv"


@needs("no driver")
def test_without_a_cpu_build_of_torch_the_cuda_lock_is_installed(
    start: Start, log: Callable[[], list[str]]
) -> None:
    result = start(LACUNA_TORCH="", SHIM_REFUSES="torch")
    assert result.returncode == 0
    assert "installing the CUDA build" in result.stderr
    assert log()[-2].startswith(f"pip {len(pins(FULL))} ")


def test_a_cpu_build_asked_for_by_name_is_not_replaced(start: Start) -> None:
    result = start(LACUNA_TORCH="cpu", SHIM_REFUSES="torch")
    assert result.returncode == 1
    assert "pip finds no CPU build of torch" in result.stderr


def test_a_folder_that_is_not_ours_is_never_deleted(start: Start, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").touch()
    result = start(LACUNA_VENV=str(precious))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert (precious / "thesis.tex").exists()


def test_mlproject_entries_use_the_wrapper_and_only_declared_parameters() -> None:
    project = yaml.safe_load((ROOT / "MLproject").read_text())
    assert (ROOT / project["python_env"]).is_file()
    for name, entry in project["entry_points"].items():
        assert entry["command"].startswith("./reproduce.sh "), name
        used = set(re.findall(r"{(\w+)}", entry["command"]))
        assert used == set(entry.get("parameters", {})), name
