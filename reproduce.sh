#!/usr/bin/env bash
# One command from a fresh checkout to the verdict; the image's entry point too, whose environment is there.
set -euo pipefail

root=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
results=${LACUNA_ARTIFACTS:-$root/artifacts} # this checkout's, wherever it is called from
. "$root/docker/environment.sh"

usage() {
    cat <<'END'
usage: ./reproduce.sh [STUDY] [key=value ...]   run a study (default: mini); results in artifacts/STUDY/
       ./reproduce.sh report STUDY              remake a finished study's tables, page and verdict
       ./reproduce.sh compare STUDY             its numbers beside the expected ones (REPRODUCE.md)
       ./reproduce.sh across FOLDER ... --by KEY  several finished studies against what they differ in
       ./reproduce.sh audit --before DIR --after DIR [option ...]
       ./reproduce.sh plan|config|store ...     these too are `.venv/bin/lacuna COMMAND ...`: see its --help
       ./reproduce.sh test [pytest argument ...]
       ./reproduce.sh ui                        MLflow on http://127.0.0.1:5000 (PORT=... changes it)
       ./reproduce.sh setup                     make the environment, nothing more

The first use makes a Python environment from the locked, hashed requirements in docker/.
  PYTHON            a Python >= 3.11 (default: the first one found on PATH)
  LACUNA_VENV       where the environment lives (default: .venv beside this script)
  LACUNA_TORCH      cpu or cuda (default: cuda where an NVIDIA driver is present, else cpu)
  LACUNA_ARTIFACTS  where results go (default: artifacts beside this script)
END
}

run_python() { # -P: what the caller's folder happens to hold is not imported
    export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
    export HF_HUB_DISABLE_TELEMETRY=1 RAY_USAGE_STATS_ENABLED=0 MLFLOW_DISABLE_TELEMETRY=true
    export TOKENIZERS_PARALLELISM=false
    exec "$venv/bin/python" -P "$@"
}

take_apart() { # sets `words`: the arguments, and what MLproject passes as one after --overrides
    local some
    words=()
    while [ $# -gt 0 ]; do
        if [ "$1" = --overrides ]; then
            read -r -a some <<<"${2:-}"
            words+=("${some[@]}")
            shift
        else
            words+=("$1")
        fi
        [ $# -eq 0 ] || shift
    done
}

check_driver() { # a driver too old for CUDA 13.0 would show only once the first stage is on its GPU
    local version can_run='import sys, torch
sys.exit(torch.version.cuda is not None and not torch.cuda.is_available())'
    [[ ! ${CUDA_VISIBLE_DEVICES-all} =~ ^[[:space:]]*(-1.*)?$ ]] || return 0 # hidden
    read -r version < <(nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null) || return 0
    [[ $version =~ ^([0-9]+)\. ]] && [ "${BASH_REMATCH[1]}" -lt 580 ] || return 0
    # Some cards run newer CUDA on older drivers, and a CPU build of torch needs none.
    "$venv/bin/python" -c "$can_run" 2>/dev/null ||
        fail 2 "NVIDIA driver $version is too old for CUDA 13.0: update it to 580 or newer, or hide the GPUs with CUDA_VISIBLE_DEVICES="
}

lacuna() { # lacuna COMMAND [word ...]; its results go to $results
    ensure_environment
    [ "$1" != run ] || check_driver
    export LACUNA_ARTIFACTS=$results
    run_python -m sweeps "$@"
}

take_apart "$@"
set -- "${words[@]}"
case ${1:-} in
    -h | --help)
        usage
        ;;
    setup)
        ensure_environment
        ;;
    test)
        ensure_environment
        cd "$root"
        run_python -m pytest "${@:2}"
        ;;
    run | plan | config | report | compare | across | scan | status | model | store | audit | ui)
        lacuna "$@"
        ;;
    *)
        lacuna run "$@"
        ;;
esac
