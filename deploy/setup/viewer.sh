#!/bin/sh
# Builds viewer/dist from viewer/, with the packages that viewer/package-lock.json names.
set -eu
cd "$(dirname "$(readlink -f "$0")")/../../viewer"

digest() {
    find . \( -name node_modules -o -name dist \) -prune -o -type f -print | LC_ALL=C sort | xargs sha256sum | sha256sum
}

mkdir -p ../.setup
key=$(digest)
stamp=../.setup/viewer.stamp
if [ -d dist ] && [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
    exit 0
fi
rm -f "$stamp"

if ! node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' 2>/dev/null; then
    echo "setup: Node.js 20 or newer, with npm, is needed to build the image viewer." >&2
    exit 1
fi
packages=$(cat package.json package-lock.json | sha256sum)
if [ ! -d node_modules ] || [ "$(cat ../.setup/npm.stamp 2>/dev/null)" != "$packages" ]; then
    rm -f ../.setup/npm.stamp
    echo "setup: fetching the image viewer's packages"
    npm ci --no-audit --no-fund --loglevel=error --no-progress
    echo "$packages" >../.setup/npm.stamp
fi
echo "setup: building the image viewer"
log=../.setup/viewer.log
if ! npm run --silent build >"$log" 2>&1; then
    cat "$log" >&2
    echo "setup: the image viewer could not be built." >&2
    exit 1
fi
echo "$key" >"$stamp"
