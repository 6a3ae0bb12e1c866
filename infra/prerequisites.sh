#!/usr/bin/env bash
# Checks for Python 3.11+ with venv, a JDK 17+ and Maven, and with the argument `browser` for Chromium too. As root on
# Debian or Ubuntu it installs missing programs; elsewhere it prints one line with the missing programs and the command.
set -euo pipefail

python_ok() { python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
jdk_ok() {
    local version
    version=$(javac -version 2>&1 | sed -nE 's/^javac ([0-9]+).*/\1/p')
    [ -n "$version" ] && [ "$version" -ge 17 ]
}
maven_ok() { command -v mvn >/dev/null; }
browser_ok() {
    command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null ||
        [ -d "/Applications/Google Chrome.app" ]
}

missing=()
python_ok || missing+=(python)
jdk_ok || missing+=(jdk)
maven_ok || missing+=(maven)
[ "${1:-}" != browser ] || browser_ok || missing+=(browser)
[ ${#missing[@]} -eq 0 ] && exit 0

declare -A debian=([python]="python3 python3-venv" [jdk]=openjdk-17-jdk-headless [maven]=maven [browser]=chromium)
declare -A fedora=([python]=python3.12 [jdk]=java-21-openjdk-devel [maven]=maven [browser]=chromium)
declare -A brew=([python]=python@3.12 [jdk]=openjdk@21 [maven]=maven [browser]="--cask google-chrome")
names=()
if command -v apt-get >/dev/null; then
    for tool in "${missing[@]}"; do read -ra words <<<"${debian[$tool]}"; names+=("${words[@]}"); done
    if [ "$(id -u)" -eq 0 ] && [ -z "${PREREQUISITES_INSTALLED:-}" ]; then
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${names[@]}" >/dev/null
        PREREQUISITES_INSTALLED=1 exec bash "$0" "$@"
    fi
    install="sudo apt-get install -y ${names[*]}"
elif command -v dnf >/dev/null; then
    for tool in "${missing[@]}"; do names+=("${fedora[$tool]}"); done
    install="sudo dnf install -y ${names[*]}"
elif command -v brew >/dev/null; then
    for tool in "${missing[@]}"; do names+=("${brew[$tool]}"); done
    install="brew install ${names[*]}"
else
    install="install them with your system's package manager"
fi
echo "headrace needs ${missing[*]} (Python 3.11+, a JDK 17+, Maven; its tests a Chromium): $install" >&2
exit 1
