#!/bin/sh
# Runs in the build stage: the environment from the wheels at hand, every one checked against the
# hash in its lock, and the list of what is in it. Usage: install.sh NAME
set -eu
build=/build
place=/opt/toolwear
python3 -m venv "$build/tools"
"$build/tools/bin/pip" install --quiet --disable-pip-version-check --no-index \
  --find-links "$build/wheels" --require-hashes -r "$build/lock/tools.txt"
# Its packages are copied into a stage with the same interpreter at the same path.
python3 -m venv --without-pip "$place/venv"
for lock in "$build/lock/$1".txt "$build/lock/$1"-*.txt; do
  [ -e "$lock" ] || continue
  "$build/tools/bin/uv" pip install --quiet --offline --no-index --find-links "$build/wheels" \
    --python "$place/venv/bin/python" --no-deps --require-hashes --compile-bytecode \
    --link-mode copy --no-cache -r "$lock"
done
# Tests of libraries are a tenth of the image, and nothing imports them.
find "$place/venv" -type d \( -path '*/pyarrow/tests' -o -path '*/pandas/tests' \
  -o -path '*/sklearn/*/tests' -o -path '*/scipy/*/tests' -o -path '*/pyarrow/include' \
  -o -path '*/skimage/*/tests' \) -prune -exec rm -rf {} +
"$place/venv/bin/python" "$build/sbom.py" "$1" > "$place/sbom.cdx.json"
