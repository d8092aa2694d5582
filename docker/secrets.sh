#!/usr/bin/env bash
# docker/secrets.sh FOLDER: makes the secrets of a cluster, once; what exists is kept.
#
# The folder is closed to others (700) and must not lie in the repository. The files in it are
# readable (644): they are mounted one by one into containers whose users have other ids.
set -euo pipefail
repository=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
folder=$(realpath -m "${1:?usage: docker/secrets.sh FOLDER}")
case $folder/ in "$repository"/*)
    echo "docker/secrets.sh: $folder is inside the repository: name a folder outside" >&2
    exit 2
    ;;
esac
mkdir -p -m 700 "$folder"
chmod 700 "$folder"
for name in ray_token postgres_password s3_secret; do
    [ -s "$folder/$name" ] || head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$folder/$name"
    chmod 644 "$folder/$name"
done
