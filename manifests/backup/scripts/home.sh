#!/bin/sh
# The system's folder, by `toolwear backup`: packages, audit log, approvals, features, queues.
part=home
. "$(dirname "$0")/common.sh"
case "${1:-}" in
backup)
  begin
  python -m toolwear.cli backup "$copy/home.tar.gz"
  keep
  ;;
list) stamps ;;
restore)
  choose "${2:-}"
  python -m toolwear.cli restore "$copy/home.tar.gz" --overwrite
  ;;
*) usage ;;
esac
