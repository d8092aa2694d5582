#!/usr/bin/env bash
# Sourced by reproduce.sh and while the image is built: `ensure_environment` makes and mends the Python
# environment in $venv from the locked, hashed requirements beside this file, with this checkout's command `lacuna` in
# it. Needs $root, the checkout.
venv=$(realpath -m "${LACUNA_VENV:-$root/.venv}")

step() { echo "reproduce.sh: $*" >&2; }

fail() { # fail STATUS MESSAGE
    step "error: $2"
    exit "$1"
}

python_version() { # of a Python that is new enough; else fails
    "$1" -I -c 'import platform, sys
sys.version_info >= (3, 11) or sys.exit(1)
print(platform.python_version())' 2>/dev/null
}

find_python() {
    local candidate candidates=(python3 python3.12 python3.11 python3.13)
    [ -z "${PYTHON:-}" ] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if python_version "$candidate" >/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail 2 "${PYTHON:-no python3 on PATH} is not Python 3.11 or newer: install one, or name it with PYTHON=/path/to/python"
}

wanted_torch() {
    case ${LACUNA_TORCH:-} in
        cpu | cuda) echo "$LACUNA_TORCH" ;;
        '')
            if [ -e /proc/driver/nvidia/version ] || nvidia-smi -L >/dev/null 2>&1; then
                echo cuda
            else
                echo cpu
            fi
            ;;
        *) fail 2 "LACUNA_TORCH=$LACUNA_TORCH: choose cpu or cuda" ;;
    esac
}

stamp() { # stamp PYTHON: what the environment must have been made from
    printf 'python=%s torch=%s locks=%s\n' "$(python_version "$1")" "$torch" \
        "$(cat "$root/docker/requirements.lock" "$root/docker/requirements-cpu.lock" | sha256sum)"
}

is_ready() { # the stamp is written last, so a half-made environment has none
    [ -f "$venv/stamp" ] && [ "$(cat "$venv/stamp")" = "$(stamp "${PYTHON:-$venv/bin/python}")" ] &&
        "$venv/bin/python" -I -c 'import sys
from importlib.util import find_spec
specs = map(find_spec, sys.argv[1:])
sys.exit(not all(spec and spec.origin for spec in specs))' torch transformers ray mlflow hydra pytest 2>/dev/null
}

logged() { "$@" >>"$venv/setup.log" 2>&1; }

must() { # must WHAT COMMAND...: on failure shows the end of the log
    logged "${@:2}" && return
    tail -n 15 "$venv/setup.log" >&2
    fail 1 "could not $1: the reason is above, the whole log in $venv/setup.log; the next start begins anew"
}

# Source packages build with the locked setuptools instead of whatever build isolation would fetch.
pip_install() {
    logged "$venv/bin/python" -m pip install --no-deps --require-hashes \
        --no-build-isolation --progress-bar off -r "$1"
}

only() { sed -n "/^$1==/,/[^\\\\]\$/p" "$2"; } # one package's lines of a lock

choose_lock() { # prints the lock to install; a CPU build of torch exists only where pip can find one
    local cpu=$root/docker/requirements-cpu.lock full=$root/docker/requirements.lock
    if [ "$torch" = cuda ]; then
        echo "$full"
    elif pip_install <(only torch "$cpu"); then
        echo "$cpu"
    elif [ -z "${LACUNA_TORCH:-}" ]; then
        step "pip offers no CPU build of torch that docker/requirements-cpu.lock knows: installing the CUDA build, which runs on CPUs too (6 GB)"
        echo "$full"
    else
        tail -n 5 "$venv/setup.log" >&2
        fail 1 "LACUNA_TORCH=cpu, but pip finds no CPU build of torch that docker/requirements-cpu.lock knows: add an index that has one to pip's configuration, or unset LACUNA_TORCH (see $venv/setup.log)"
    fi
}

build() {
    local python lock
    python=$(find_python)
    [ "$(uname -sm)" = "Linux x86_64" ] ||
        fail 2 "the locked requirements are for Linux on x86-64, this is $(uname -sm): use the Docker image"
    if [ "$venv" != "$root/.venv" ] && [ -n "$(ls -A "$venv" 2>/dev/null)" ] && [ ! -f "$venv/setup.log" ]; then
        fail 2 "LACUNA_VENV=$venv exists and was not made by this script: name another folder"
    fi
    step "making $venv with Python $(python_version "$python") and torch for $torch (once, some minutes)"
    rm -rf "$venv"
    mkdir -p "$venv"
    must "make a virtual environment (on Debian and Ubuntu: apt install python3-venv)" \
        "$python" -m venv "$venv"
    must "install setuptools" pip_install <(only setuptools "$root/docker/requirements.lock")
    lock=$(choose_lock)
    step "installing $(grep -c '^[a-z]' "$lock") packages from ${lock#"$root"/}"
    must "install $lock" pip_install "$lock"
    step "checking that everything loads"
    must "load what was installed" "$venv/bin/python" -I -c 'import torch, transformers, ray.tune, mlflow, hydra'
    must "make the packages agree" "$venv/bin/python" -m pip check
    stamp "$venv/bin/python" >"$venv/stamp"
}

project() { # what the command must have been installed from
    printf '%s %s\n' "$root" "$(sha256sum <"$root/pyproject.toml")"
}

is_installed() { # an environment that is somebody else's is used as it is
    [ ! -w "$venv" ] || [ "$(cat "$venv/project" 2>/dev/null)" = "$(project)" ]
}

# Editable, and in the one mode that needs no source to be there yet: the image copies it last.
install_project() {
    must "install the command lacuna" "$venv/bin/python" -m pip install --no-deps --no-index \
        --no-build-isolation --config-settings editable_mode=compat --editable "$root"
    project >"$venv/project"
}

ensure_environment() {
    [ -f "$venv/fixed" ] && return # an image's: made with it, and not to be changed
    torch=$(wanted_torch)
    is_ready && is_installed && return
    mkdir -p "$(dirname "$venv")"
    exec 9>"$venv.lock"
    flock --nonblock 9 || {
        step "waiting for another start that is making $venv"
        flock 9
    }
    is_ready || build
    is_installed || install_project
    exec 9>&-
}
