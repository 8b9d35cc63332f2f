#!/bin/sh
# Feast's online store, at $REDIS_HOST:$REDIS_PORT with the password $REDISCLI_AUTH. It is restored
# while it serves: a Redis with the copy in it is started here at $HERE:$SOURCE_PORT, and the store
# follows that one until it has everything.
part=redis
. "$(dirname "$0")/common.sh"

store() { redis-cli -e -h "$REDIS_HOST" -p "$REDIS_PORT" "$@"; }
source_cli() { redis-cli -e -h 127.0.0.1 -p "$SOURCE_PORT" "$@"; }

wait_until() { # what, then a command that succeeds once it is so
  what="$1"
  shift
  tries=0
  until "$@" >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" -ge 300 ]; then
      echo "$part: $what took more than five minutes" >&2
      return 1
    fi
    sleep 1
  done
}

follows() { store info replication | grep -q '^master_link_status:up'; }
on_disk() { store info persistence | grep -q '^aof_rewrite_in_progress:0' &&
  store info persistence | grep -q '^aof_rewrite_scheduled:0'; }

case "${1:-}" in
backup)
  begin
  store --rdb "$copy/dump.rdb"
  redis-check-rdb "$copy/dump.rdb" >/dev/null
  keep
  ;;
list) stamps ;;
restore)
  choose "${2:-}"
  work="$(mktemp -d)"
  cp "$copy/dump.rdb" "$work/dump.rdb"
  # Its configuration comes by standard input: an argument would show the password.
  printf 'requirepass %s\n' "$REDISCLI_AUTH" | redis-server - --dir "$work" --port "$SOURCE_PORT" \
    --bind 0.0.0.0 --protected-mode no --save "" --appendonly no >"$work/log" 2>&1 &
  started=$!
  trap 'store replicaof no one >/dev/null || true; kill "$started"; wait "$started" || true; rm -rf "$work"' EXIT
  wait_until "reading the copy" source_cli ping
  printf '%s' "$REDISCLI_AUTH" | store -x config set masterauth >/dev/null
  store replicaof "$HERE" "$SOURCE_PORT" >/dev/null
  wait_until "bringing the copy to $REDIS_HOST" follows
  store replicaof no one >/dev/null
  store config set masterauth "" >/dev/null
  wait_until "writing it to the disk of $REDIS_HOST" on_disk
  echo "$part: $(store dbsize) keys are back"
  ;;
*) usage ;;
esac
