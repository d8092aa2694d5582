#!/usr/bin/env bash
# Rewrites docker/requirements.lock (torch with CUDA) and docker/requirements-cpu.lock (without).
#
#   docker/lock.sh               after a change of pyproject.toml; keeps every other version
#   docker/lock.sh --upgrade     takes the newest versions pyproject.toml allows (options go to uv)
#
# Needs uv (UV=... names another) and a Python whose pip is configured to find a CPU build of torch
# (PYTHON=... names another). The locks hold versions and hashes, never where a file came from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=${UV:-uv}
python=${PYTHON:-python3}
full=docker/requirements.lock
cpu=docker/requirements-cpu.lock
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

resolve() { # resolve PYTHON_VERSION [option ...]: rewrites $scratch/lock, keeping what it pins
    "$uv" pip compile pyproject.toml --extra dev --output-file "$scratch/lock" --no-header \
        --no-annotate --quiet --python-version "$1" --python-platform x86_64-manylinux_2_28 "${@:2}"
}

names_of() { sed -n 's/^\([a-z0-9-]*\)==.*/\1/p' "$1"; }

# The oldest Python chooses; the newer ones must need the same packages and accept the same versions.
if [ -f "$full" ]; then cp "$full" "$scratch/lock"; fi
resolve 3.11 --generate-hashes "$@"
cp "$scratch/lock" "$scratch/full"
for version in 3.12 3.13; do
    resolve "$version" --generate-hashes
    diff "$scratch/full" "$scratch/lock" >&2 || {
        echo "docker/lock.sh: Python $version needs other packages than 3.11 (above)" >&2
        exit 1
    }
done

# The CPU build of torch is a version of its own ("+cpu") and needs no CUDA package. Its wheels are
# hashed as pip finds them: a Python whose wheel is not offered here uses the full lock instead.
torch=$(sed -n 's/^torch==\([0-9.]*\).*/\1/p' "$scratch/full")+cpu
for version in 3.11 3.12 3.13; do
    "$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$scratch/torch" \
        --platform manylinux_2_28_x86_64 --python-version "$version" "torch==$torch" \
        2>"$scratch/pip-$version" || echo "docker/lock.sh: no torch $torch for Python $version" >&2
done
wheels=("$scratch"/torch/*.whl)
[ -f "${wheels[0]}" ] || { cat "$scratch/pip-3.11" >&2; exit 1; }

{
    awk '/^[a-z]/ { keep = !/^(torch|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)==/ } keep' "$scratch/full"
    printf 'torch==%s' "$torch"
    for wheel in "${wheels[@]}"; do
        printf ' \\\n    --hash=sha256:%s' "$(sha256sum "$wheel" | cut -d ' ' -f 1)"
    done
    echo
} >"$scratch/cpu"
mv "$scratch/full" "$full"
mv "$scratch/cpu" "$cpu"
echo "wrote $full ($(names_of "$full" | wc -l) packages) and $cpu ($(names_of "$cpu" | wc -l))"
