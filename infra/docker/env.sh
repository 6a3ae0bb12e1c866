#!/usr/bin/env bash
# Writes the environment file of docker-compose.yml: a new password, and ports that are free on this machine.
#
#     bash infra/docker/env.sh .env
#
# An existing file is not changed: the database keeps the password that it was created with.
set -euo pipefail
file=${1:?which file to write}
[ -e "$file" ] && exit 0
mkdir -p "$(dirname "$file")"

free_port() { # the usual port if it is free, else any free port
    python3 - "$1" <<'PYTHON'
import socket, sys
for port in (int(sys.argv[1]), 0):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        print(probe.getsockname()[1])
        break
PYTHON
}

umask 077
cat >"$file.new" <<ENVIRONMENT
POSTGRES_PASSWORD=$(python3 -c 'import secrets; print(secrets.token_hex(24))')
KAFKA_PORT=$(free_port 9092)
ELASTICSEARCH_PORT=$(free_port 9200)
QDRANT_PORT=$(free_port 6333)
QDRANT_GRPC_PORT=$(free_port 6334)
POSTGRES_PORT=$(free_port 5432)
CONSOLE_PORT=$(free_port 8484)
PROMETHEUS_PORT=$(free_port 9090)
GRAFANA_PORT=$(free_port 3000)
JAEGER_PORT=$(free_port 16686)
ENVIRONMENT
mv "$file.new" "$file"
