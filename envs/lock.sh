#!/usr/bin/env bash
# Remake the lock files from pyproject.toml and set the same versions in envs/reprior.yaml. `make lock` calls this.
# Keeps the locked versions if they still fit; `--upgrade` takes the newest.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
        --custom-compile-command "make lock" "$@" >/dev/null
}

compile "$@" --extra dev --output-file envs/requirements.lock pyproject.toml
printf 'uv\nsetuptools\n' | compile "$@" --constraints envs/requirements.lock --output-file envs/installer.lock -

versions=$(mktemp)
trap 'rm "$versions"' EXIT
sed -nE 's/^([a-z0-9-]+)==([^ ]+).*/s|- \1==.*|- \1==\2|/p' envs/requirements.lock >"$versions"
sed -i -f "$versions" envs/reprior.yaml
