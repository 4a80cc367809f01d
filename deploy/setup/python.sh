#!/bin/sh
# Makes .venv hold exactly what requirements.lock names, and the project itself, editable: .venv/bin/sorg.
set -eu
here=$(dirname "$(readlink -f "$0")")
cd "$here/../.."
python=${PYTHON:-python3}

# The folder is part of the key: the scripts in a venv name it, so a moved or copied clone is made anew.
key=$({ pwd; "$python" -VV; cat requirements.lock pyproject.toml "$here/uv-requirements" "$here/python.sh"; } | sha256sum)
stamp=.setup/python.stamp
if [ -x .venv/bin/sorg ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
    exit 0
fi

echo "setup: installing the Python packages"
sh "$here/uv.sh"
rm -f "$stamp"
uv=.setup/uv/bin/uv
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    "$uv" venv -q --clear --python "$python" .venv
fi
export VIRTUAL_ENV="$PWD/.venv"
# The project itself is a second source beside the lock, so that one sync neither removes nor forgets it.
echo "-e $PWD" >.setup/itself
"$uv" pip sync -q requirements.lock .setup/itself
# A package that pyproject.toml asks for and the lock lacks shows here: then it is time for `make lock`.
"$uv" pip check -q
echo "$key" >"$stamp"
