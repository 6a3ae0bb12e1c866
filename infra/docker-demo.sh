#!/usr/bin/env bash
# For `make demo DOCKER=1`: builds and starts the containers of docker-compose.yml, runs the demo against them, and
# removes them with their data. They are a separate compose project, so a running stack is not changed.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! docker compose version >/dev/null 2>&1; then
    echo "headrace: DOCKER=1 needs Docker with its compose plugin (https://docs.docker.com/compose/install/); make demo needs no Docker" >&2
    exit 1
fi
if ! docker info >/dev/null 2>&1; then
    echo "headrace: no Docker engine answers: start it, check that this user may use it, or run make demo without DOCKER=1" >&2
    exit 1
fi

environment=.headrace/docker-demo.env
log=.headrace/docker-demo.log
rm -f "$environment"
bash infra/docker/env.sh "$environment"
compose=(docker compose --project-name headrace-demo --env-file "$environment")
if [ "${EMBEDDER:=${HEADRACE_EMBEDDER:-onnx}}" = triton ]; then
    compose+=(--profile triton)
fi
export EMBEDDER

finish() {
    local status=$?
    trap - EXIT
    if [ "$status" -ne 0 ]; then
        "${compose[@]}" logs --no-color >"$log" 2>&1 || true
        echo "headrace: the output of the containers is in $log" >&2
    fi
    "${compose[@]}" down --volumes --remove-orphans || true
    rm -f "$environment"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"${compose[@]}" down --volumes --remove-orphans >/dev/null 2>&1
# Without the canary: the demo accounts for every record on the topics.
"${compose[@]}" up --build --detach --scale canary=0
"${compose[@]}" run --rm demo
