#!/bin/sh
# Print the path of an interpreter of the version given ("3.12"), or the version itself where
# none is installed: uv then fetches one. pyenv's shims fail unless the version is active, so
# its folder is searched too, from the shim's own place.
set -eu
version=$1
try() { [ -x "$1" ] && "$1" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" >/dev/null 2>&1; }
IFS=:
for folder in $PATH ${PYENV_ROOT:+"$PYENV_ROOT/shims"} "${HOME:-/nonexistent}/.pyenv/shims"; do
  candidate="$folder/python$version"
  if try "$candidate"; then
    # The real file behind a shim, so that the environment does not depend on the shim.
    "$candidate" -c 'import sys; print(sys.executable)'
    exit 0
  fi
  case $folder in
    */shims)
      for candidate in "${folder%/shims}/versions/$version".*/bin/python"$version"; do
        if try "$candidate"; then echo "$candidate"; exit 0; fi
      done ;;
  esac
done
echo "$version"
