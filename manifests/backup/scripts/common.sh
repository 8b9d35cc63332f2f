# Sourced by the scripts beside it, for any POSIX shell: busybox's too.
# A copy is a folder $BACKUPS/PART/STAMP with a SHA256SUMS; the newest $KEEP stay.
set -eu
umask 077

begin() { # makes an empty folder, $copy
  copy="$BACKUPS/$part/.unfinished"
  rm -rf "$copy"
  mkdir -p "$copy"
}

keep() { # makes $copy the newest copy, and drops those that are too old
  (cd "$copy" && sha256sum ./* >SHA256SUMS)
  sync
  stamp="$(date -u +%Y%m%dT%H%M%SZ)"
  while [ -e "$BACKUPS/$part/$stamp" ]; do
    sleep 1
    stamp="$(date -u +%Y%m%dT%H%M%SZ)"
  done
  mv "$copy" "$BACKUPS/$part/$stamp"
  echo "$part: kept $stamp, $(du -sk "$BACKUPS/$part/$stamp" | cut -f1) KiB"
  stamps | sort -r | tail -n "+$((KEEP + 1))" | while read -r old; do
    rm -rf "${BACKUPS:?}/$part/$old"
    echo "$part: dropped $old"
  done
}

stamps() { # lists the copies
  ls -1 "$BACKUPS/$part" 2>/dev/null | grep -E '^[0-9]{8}T[0-9]{6}Z$' || true
}

choose() { # sets $copy to the copy of stamp $1, by default the newest, once every byte was checked
  stamp="${1:-$(stamps | sort | tail -n 1)}"
  copy="$BACKUPS/$part/$stamp"
  if [ -z "$stamp" ] || [ ! -f "$copy/SHA256SUMS" ]; then
    echo "$part: there is no copy ${1:-yet}; there are: $(stamps | tr '\n' ' ')" >&2
    exit 2
  fi
  if ! (cd "$copy" && sha256sum -c SHA256SUMS >/dev/null); then
    echo "$part: the copy $stamp was changed since it was made; restore another" >&2
    exit 2
  fi
  echo "$part: restoring $stamp"
}

usage() {
  echo "usage: sh $0 backup | list | restore [STAMP]" >&2
  exit 2
}
