#!/usr/bin/env bash
# Make toolwear/base:3.12 and toolwear/base:3.9 where no image registry can be reached: Debian
# bookworm by debootstrap from the system's own package mirror, and the interpreters copied from
# where they are installed, since bookworm brings only 3.11. Needs root, debootstrap, an engine.
#
#   tools/images/offline_base.sh && make images BASE=toolwear/base
#
# MIRROR is the address of the Debian packages (default: that of this machine's apt).
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
repository="${1:-toolwear/base}"
[ "$(id -u)" = 0 ] || { echo "offline_base.sh: debootstrap needs root; run it with sudo." >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "offline_base.sh: install debootstrap." >&2; exit 2; }
mirror="${MIRROR:-$(awk '/^URIs:/{print $2; exit}' /etc/apt/sources.list.d/debian.sources 2>/dev/null \
  || awk '/^deb /{print $2; exit}' /etc/apt/sources.list)}"
[ -n "$mirror" ] || { echo "offline_base.sh: set MIRROR to the address of Debian packages." >&2; exit 2; }
# What CPython's own modules link against; ldd below proves that nothing is missing.
packages=ca-certificates,libbz2-1.0,libexpat1,libffi8,liblzma5,libncursesw6,libreadline8
packages=$packages,libsqlite3-0,libssl3,libuuid1,tzdata,zlib1g
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
root="$work/root"

echo "offline base: Debian bookworm"
debootstrap --variant=minbase --include="$packages" bookworm "$root" "$mirror" >"$work/log" 2>&1 \
  || { tail -5 "$work/log" >&2; exit 1; }
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/tmp/* \
  "$root"/usr/share/{doc,man,info,locale,lintian}/* "$root"/dev/*
# Whoever uses the image has a mirror of their own.
: >"$root/etc/apt/sources.list"

for version in 3.12 3.9; do
  python="$("$here/../../requirements/find-python.sh" "$version")"
  [ -x "$python" ] || { echo "offline_base.sh: install Python $version first." >&2; exit 2; }
  prefix="$("$python" -c 'import sys; print(sys.base_prefix)')"
  echo "offline base: Python $version"
  rm -rf "$root/usr/local" && mkdir -p "$root/usr/local/bin" "$root/usr/local/lib"
  tar -C "$prefix/lib" -c --exclude='config-*' --exclude=test --exclude=tests --exclude=idlelib \
    --exclude=tkinter --exclude='_tkinter*' --exclude=turtledemo --exclude=lib2to3 \
    --exclude=__pycache__ --exclude='site-packages/*' --exclude='_test*.so' --exclude=pkgconfig \
    --exclude='nis.*' "python$version" | tar -C "$root/usr/local/lib" -x --no-same-owner
  cp -a "$prefix"/lib/libpython"$version".so* "$root/usr/local/lib/" 2>/dev/null || true
  cp "$prefix/bin/python$version" "$root/usr/local/bin/"
  ln -s "python$version" "$root/usr/local/bin/python3"
  ln -s "python$version" "$root/usr/local/bin/python"
  chroot "$root" ldconfig
  missing="$(chroot "$root" sh -c \
    'ldd /usr/local/bin/python3 /usr/local/lib/python3.*/lib-dynload/*.so' | grep 'not found' || true)"
  [ -z "$missing" ] || { echo "offline_base.sh: Python $version lacks $missing" >&2; exit 1; }
  chroot "$root" /usr/local/bin/python3 -c 'import bz2, ctypes, lzma, readline, sqlite3, ssl, uuid, zlib'
  find "$root/usr/local" -name __pycache__ -prune -exec rm -rf {} +
  tar -C "$root" -c . | docker import \
    --change 'ENV PATH=/usr/local/bin:/usr/bin:/bin' --change 'CMD ["python3"]' \
    - "$repository:$version" >/dev/null
  docker image inspect --format "{{index .RepoTags 0}} {{.Size}} bytes {{.Id}}" "$repository:$version"
done
