# Sourced on a cluster node that has this repository, before `ray start`: its environment's ray on
# PATH, and the token that keeps others out (RAY_AUTH_TOKEN_PATH, default ~/.lacuna/ray_token).
repository=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
export PATH="${LACUNA_VENV:-$repository/.venv}/bin:$PATH"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="${RAY_AUTH_TOKEN_PATH:-$HOME/.lacuna/ray_token}"
export RAY_USAGE_STATS_ENABLED=0
[ -s "$RAY_AUTH_TOKEN_PATH" ] || {
    echo "no token in $RAY_AUTH_TOKEN_PATH: run docker/secrets.sh ~/.lacuna" >&2
    false
}
