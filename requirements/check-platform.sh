#!/bin/sh
# Say in one sentence, before anything is built, that this machine is none that the environments
# are locked for: Linux on x86_64 or aarch64, as under WSL2. auto-sklearn has no wheels elsewhere.
set -eu
room_gb=3
system=$(uname -s) machine=$(uname -m)
case $system-$machine in
  Linux-x86_64 | Linux-aarch64 | Linux-arm64) ;;
  *)
    echo "toolwear runs on Linux on x86_64 or aarch64 (Windows: in WSL2), and this is $system on" \
      "$machine, for which auto-sklearn and others have no packages; \`make run IN=container\` does" \
      "the same with Docker or Podman." >&2
    exit 2 ;;
esac
if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
  echo "toolwear needs python3 with its module venv; install it (Debian, Ubuntu: python3-venv)." >&2
  exit 2
fi
free_kb=$(df -Pk . | awk 'NR == 2 { print $4 }')
if [ "$free_kb" -lt $((room_gb * 1000000)) ]; then
  echo "The environments need $room_gb GB of disk, and $(pwd) has $((free_kb / 1000)) MB left;" \
    "free some space first." >&2
  exit 2
fi
