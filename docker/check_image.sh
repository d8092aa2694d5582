#!/usr/bin/env bash
# Builds the Dockerfile and runs the smoke study in what it gives, without Docker: needs Linux, root and the network,
# installs buildah and debootstrap where they are missing (Debian, Ubuntu), and takes 15 GB (cpu) or 30 GB (cuda).
#
#   docker/check_image.sh [cuda|cpu]     which lock goes in (default: cuda)
#
#   BASE_IMAGE  an image to build on (default: a small Debian made on the spot, which stands in for NVIDIA's)
#   MIRROR      where that Debian comes from (default: where this machine has its own from)
#   WORK        a folder to work in, on a file system that overlays work on (default: below /var/tmp)
#   KEEP=1      leaves it as it is, the image in $WORK/storage
#
# The image runs as `docker run --network none --read-only --tmpfs /tmp --shm-size 1g --cap-drop ALL
# --security-opt no-new-privileges --user 1234:1234 -v RESULTS:/results` would run it: in namespaces of its own, the image
# mounted read-only, its configuration obeyed. Prints a line for each check, with seconds; the first that fails ends it.
set -euo pipefail

root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
torch=${1:-cuda}
work=$(realpath -m "${WORK:-$(mktemp -d -p /var/tmp lacuna-image.XXXXXX)}")
uid=1234 # neither root nor the image's own
export TMPDIR=$work/tmp

case $torch in
    cuda) room=30 largest=8 ;;
    cpu) room=15 largest=4 ;;
    *) echo "usage: docker/check_image.sh [cuda|cpu]" >&2 && exit 2 ;;
esac

say() { printf '%5d s  %s\n' "$((SECONDS - since))" "$*"; since=$SECONDS; }
die() { echo "check_image.sh: $*" >&2; exit 1; }
quietly() { "$@" >>"$work/log" 2>&1 || { tail -n 25 "$work/log" >&2; die "failed: ${*:1:3} ... (log: $work/log)"; }; }
store() { buildah --root "$work/storage" --runroot "$work/run" --storage-driver overlay "$@"; }

clean_up() {
    store umount --all >/dev/null 2>&1 || true
    if [ -z "${KEEP:-}" ]; then rm -rf "$work"; else echo "kept: $work"; fi
}

# --- what a build needs ------------------------------------------------------------------------------------------

prepare() {
    [ "$(id -u)" = 0 ] || die "needs root: it makes namespaces and mounts"
    mkdir -p "$work/tmp" "$work/context"
    local free
    free=$(df --output=avail --block-size=1G "$work" | tail -n 1)
    [ "$free" -ge "$room" ] || die "$work has $free GB free, $room are needed: set WORK to another folder"
    trap clean_up EXIT
    if ! type -P buildah debootstrap ip setpriv >/dev/null; then # fails unless all are there
        quietly apt-get update
        quietly apt-get install --yes --no-install-recommends buildah debootstrap iproute2
    fi
    git -C "$root" ls-files -z | tar -C "$root" --null -T - -c | tar -C "$work/context" -x
    say "tools and a copy of the tracked files"
}

stand_in() { # sets $base
    base=${BASE_IMAGE:-localhost/cuda-base:stand-in}
    if [ -n "${BASE_IMAGE:-}" ]; then
        store pull -q "$base" >/dev/null
        return
    fi
    local mirror container
    mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
    mirror=${MIRROR:-$mirror}
    [ -n "$mirror" ] || die "no Debian archive is known here: set MIRROR to one, or BASE_IMAGE to an image"
    quietly debootstrap --variant=minbase bookworm "$work/debian" "$mirror"
    tar -C "$work/debian" -cf "$work/debian.tar" .
    container=$(store from scratch)
    store add -q "$container" "$work/debian.tar" / >/dev/null
    store commit -q --rm "$container" "$base" >/dev/null
    rm -rf "$work/debian" "$work/debian.tar"
    say "stand-in base"
}

secrets() { # pip's configuration and a CA bundle with a mark in each that must not come out again
    local key value
    mark=mark-$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')
    {
        echo "# $mark"
        echo "[global]"
        for key in index-url find-links; do
            value=$(python3 -m pip config get "global.$key" 2>/dev/null) && echo "$key = $value"
        done
    } >"$work/pip.conf" || true
    { echo "# $mark" && cat /etc/ssl/certs/ca-certificates.crt; } >"$work/ca_bundle"
    folders=() # of wheels on this machine that pip's configuration names
    for value in $(sed -n 's/^find-links = //p' "$work/pip.conf"); do
        [ ! -d "$value" ] || folders+=(--volume "$value:$value:ro")
    done
}

build() { # devel's stage is not among those built: any image does for it
    quietly timeout 5400 buildah --root "$work/storage" --runroot "$work/run" --storage-driver overlay bud \
        --isolation chroot --network host --layers --pull-never --target lacuna --tag "$image" \
        --build-arg "BASE_IMAGE=$base" --build-arg "DEVEL_IMAGE=$base" --build-arg "TORCH=$torch" \
        --build-arg "REVISION=$(git -C "$root" rev-parse HEAD)" \
        --secret "id=pip_conf,src=$work/pip.conf" --secret "id=ca_bundle,src=$work/ca_bundle" \
        "${folders[@]}" "$work/context"
}

# --- what an image must be ----------------------------------------------------------------------------------------

inspect() { store inspect --type image --format "$1" "$image"; }

check_configuration() {
    local bytes label
    [ "$(inspect '{{.OCIv1.Config.User}}')" = 10001:10001 ] || die "the user is not 10001:10001"
    [ "$(inspect '{{.OCIv1.Config.Entrypoint}}')" = "[/usr/bin/tini -- /opt/lacuna/reproduce.sh]" ] || die "entry point"
    [ "$(inspect '{{.OCIv1.Config.Cmd}}')" = "[mini]" ] || die "the default command is not the mini study"
    for label in title description version revision base.name; do
        [ -n "$(inspect "{{index .OCIv1.Config.Labels \"org.opencontainers.image.$label\"}}")" ] || die "no label $label"
    done
    bytes=$(du --summarize --block-size=1 --one-file-system "$rootfs" | cut -f 1)
    [ "$bytes" -lt $((largest * 1000 ** 3)) ] || die "$bytes bytes are more than $largest GB"
    say "user, entry point, command, labels; $(numfmt --to=si "$bytes")B"
}

check_secrets() { # nowhere in the files, the configuration or the history
    local found
    found=$(grep --recursive --files-with-matches --fixed-strings --devices=skip "$mark" "$rootfs" || true)
    [ -z "$found" ] || die "a secret is in the image: $found"
    ! store inspect --type image "$image" | grep --quiet --fixed-strings "$mark" || die "a secret is in its configuration"
    [ ! -s "$rootfs/etc/pip.conf" ] || die "pip's configuration is in the image"
    say "no secret in any file, nor in the configuration"
}

# --- running it -----------------------------------------------------------------------------------------------

run() { # run PROGRAM [argument ...]: in the image as docker would; its output is ours
    local settings
    mapfile -t settings < <(inspect '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' | sed '/^$/d')
    timeout "${LIMIT:-900}" unshare --mount --net --pid --ipc --uts --fork --kill-child bash -euo pipefail -c '
        rootfs=$1 results=$2 uid=$3
        shift 3
        ip link set lo up
        mount --bind "$rootfs" "$rootfs"
        mount --options remount,bind,ro "$rootfs"
        mount -t proc -o nosuid,nodev,noexec proc "$rootfs/proc"
        mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$rootfs/sys"
        mount -t tmpfs -o nosuid,nodev,noexec,mode=1777 tmp "$rootfs/tmp"
        mount -t tmpfs -o nosuid,mode=755 dev "$rootfs/dev"
        for device in null zero full random urandom tty; do
            touch "$rootfs/dev/$device"
            mount --bind "/dev/$device" "$rootfs/dev/$device"
        done
        ln -s /proc/self/fd "$rootfs/dev/fd"
        mkdir "$rootfs/dev/shm"
        mount -t tmpfs -o nosuid,nodev,noexec,mode=1777,size=1g shm "$rootfs/dev/shm"
        mount --bind "$results" "$rootfs/results"
        exec chroot "$rootfs" setpriv --reuid "$uid" --regid "$uid" --clear-groups --no-new-privs \
            --bounding-set=-all --inh-caps=-all env --ignore-environment --chdir=/results "$@"
    ' run "$rootfs" "$results" "$uid" "${settings[@]}" "$@"
}

start() { run /usr/bin/tini -- /opt/lacuna/reproduce.sh "$@"; } # the entry point, which was checked

check_refusals() {
    local said status=0
    said=$(results=$work/foreign start smoke 2>&1) || status=$?
    [ "$status" = 2 ] && [ "$(wc -l <<<"$said")" = 1 ] && [[ $said == *"may not write to /results"* ]] ||
        die "a folder of somebody else's: exit $status, $said"
    start --help | grep --quiet "^usage: " || die "--help"
    run /opt/venv/bin/lacuna --help | grep --quiet "^Usage: lacuna" || die "the command lacuna"
    start smoke plan=true | grep --quiet "^plan of study smoke" || die "plan=true"
    [ -z "$(ls -A "$results")" ] || die "a plan wrote something"
    say "help, the command lacuna, plan, and one line where results cannot be written"
}

check_study() {
    LIMIT=3600 start smoke >"$work/smoke.log" 2>&1 || { tail -n 20 "$work/smoke.log" >&2; die "the smoke study"; }
    [ -s "$results/smoke/report/index.html" ] && [ -s "$results/smoke/manifest.json" ] || die "no report"
    [ -z "$(find "$results" ! -uid "$uid" -print -quit)" ] || die "results of another user"
    say "smoke study as user $uid: no network, read-only, no capability: $(tail -n 1 "$work/smoke.log")"
    start smoke 2>/dev/null | tail -n 1 | grep --quiet "^nothing to train" || die "the second start trained again"
    say "the same again reuses all of it"
    start report smoke >/dev/null || die "report smoke"
    start compare smoke >"$work/compare.log" || { grep DIFFERS "$work/compare.log" >&2; die "compare smoke"; }
    say "report and compare: $(tail -n 1 "$work/compare.log")"
}

check_deepspeed() { # the compiler and a place for what it makes, in an image that is read-only
    LIMIT=1800 run /opt/venv/bin/python -P /opt/lacuna/docker/check_zero.py >"$work/zero.log" 2>&1 ||
        { tail -n 20 "$work/zero.log" >&2; die "ZeRO"; }
    say "$(tail -n 1 "$work/zero.log")"
}

since=0
image=localhost/lacuna:check
results=$work/results
prepare
stand_in
secrets
build
say "built with the $torch lock"
echo "# a change of the source" >>"$work/context/lacuna/__init__.py"
build
took=$((SECONDS - since))
[ "$took" -lt 120 ] || die "a source-only change took $took s to rebuild"
say "rebuilt after a source-only change"
rootfs=$(store mount "$(store from --pull-never "$image")")
install -d -o "$uid" -g "$uid" "$results"
install -d -m 755 "$work/foreign"
check_configuration
check_secrets
check_refusals
check_study
check_deepspeed
echo "all of it in $SECONDS s"
