#!/bin/sh
# Puts uv, the tool that installs and locks the Python packages, into .setup/uv: apart from the project's
# .venv, because `uv pip sync` removes whatever the lock does not name, itself included.
set -eu
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "setup: Python 3.11 or newer is needed; '$python' is not that. Name another: make setup PYTHON=python3.12" >&2
    exit 1
fi
version=$(sed -n 's/^uv==\([^ ]*\).*/\1/p' "$here/uv-requirements")
case "$(.setup/uv/bin/uv --version 2>/dev/null || true)" in "uv $version "*) exit 0 ;; esac

rm -rf .setup/uv
"$python" -m venv .setup/uv
.setup/uv/bin/pip install -qq --disable-pip-version-check --require-hashes -r "$here/uv-requirements"
