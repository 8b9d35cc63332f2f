#!/bin/sh
# Call a command of `toolwear` in a container: for machines that have Docker or Podman, but no
# packages of the environments. The container sees what the command names, and the home, at the
# same paths as here; nothing else of this machine, and it writes the home alone.
#
#   tools/container/run.sh run --fast --data recordings
#
# The image is built when code or locks have changed. BASE=repository is for sites with a mirror,
# as of `make images`; PIP_INDEX_URL and UV_DEFAULT_INDEX name their index of packages.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
image=toolwear/run:dev
code="components datasets feature_repo pipelines serving toolwear"

engine=
for name in docker podman; do
  if [ -z "$engine" ] && "$name" ps --quiet >/dev/null 2>&1; then engine=$name; fi
done
[ -n "$engine" ] || {
  echo "IN=container needs Docker or Podman, and neither answers; install one and start it." >&2
  exit 2
}

# --- the image -----------------------------------------------------------------------------------

. "$root/tools/images/bases.env"
[ -z "${BASE:-}" ] || { PYTHON_3_12=$BASE:3.12 PYTHON_3_9=$BASE:3.9; }
# shellcheck disable=SC2086 # a list of folders
digest=$(
  cd "$root"
  { echo "$PYTHON_3_12 $PYTHON_3_9" | cksum
    find $code requirements tools/container/Dockerfile -type f ! -name '*.pyc' -exec cksum {} +
  } | LC_ALL=C sort | cksum | tr -d ' '
)
built=$("$engine" image inspect --format '{{index .Config.Labels "toolwear.code"}}' $image 2>&1) || built=
if [ "$built" != "$digest" ]; then
  echo "building $image, at first from 2 GB of packages; $engine says what it is at" >&2
  context=$(mktemp -d)
  trap 'rm -rf "$context"' EXIT
  trap 'exit 130' INT TERM
  mkdir "$context/code"
  cp -R "$root/requirements" "$context"
  for folder in $code requirements; do cp -R "$root/$folder" "$context/code"; done
  find "$context" -name __pycache__ -prune -exec rm -rf {} +
  "$engine" build --file "$here/Dockerfile" --tag $image --build-arg "CODE=$digest" \
    --build-arg "PYTHON_3_12=$PYTHON_3_12" --build-arg "PYTHON_3_9=$PYTHON_3_9" \
    ${PIP_INDEX_URL:+--build-arg "PIP_INDEX_URL=$PIP_INDEX_URL"} \
    ${UV_DEFAULT_INDEX:+--build-arg "UV_DEFAULT_INDEX=$UV_DEFAULT_INDEX"} "$context" >&2
  rm -rf "$context"
  # The one before it has lost its name.
  "$engine" image prune --force --filter label=org.opencontainers.image.title=toolwear/run >/dev/null
fi

# --- the container -------------------------------------------------------------------------------

# As the engine takes it, also with a comma in the path.
bind() {
  case $1$2 in *,*) q='"' ;; *) q= ;; esac
  printf 'type=bind,%s,%s' "${q}source=$1$q" "${q}target=$2$q"
}
absolute() { case $1 in /*) printf "%s\n" "$1" ;; *) printf "%s\n" "$PWD/${1#./}" ;; esac; }

home=${TOOLWEAR_HOME:-runs} network=bridge before=
for word; do
  [ "$before" != --home ] || home=$word
  # Recordings that are here need no network, unless an MLflow server is to be told of them.
  case $word in
    --home=*) home=${word#*=} ;;
    --data | --data=*) [ -n "${MLFLOW_TRACKING_URI:-}" ] || network=none ;;
  esac
  before=$word
done
home=$(absolute "$home")
# The key that seals lies outside of every home.
state=${XDG_STATE_HOME:-$HOME/.local/state}
mkdir -p "$home" "$state/toolwear"

command=$1 seen="|$home|"
set -- "$image" "$@"
for word; do
  # A file or folder that an option names is seen, and not written.
  path=$(absolute "${word#--*=}")
  [ "$word" != "$command" ] && [ -e "$path" ] || continue
  case $seen in *"|$path|"*) continue ;; esac
  seen="$seen$path|"
  set -- --mount "$(bind "$path" "$path"),readonly" "$@"
done
# The folder that paths are relative to has to be there.
case $home in "$PWD"/*) ;; *) set -- --tmpfs "$PWD" "$@" ;; esac
[ ! -t 0 ] || [ ! -t 1 ] || set -- --interactive --tty "$@"

# What is written belongs to whoever calls, also where the engine has no rights of its own.
user=$(id -u):$(id -g)
case $engine in
  docker) case $(docker info --format '{{.SecurityOptions}}') in *rootless*) user=0:0 ;; esac ;;
  podman) [ "$(id -u)" = 0 ] || set -- --userns keep-id "$@" ;;
esac

commit=$(git -C "$root" rev-parse HEAD 2>/dev/null) || commit=unknown
[ -z "$(git -C "$root" status --porcelain --untracked-files=no 2>/dev/null)" ] || commit=$commit-dirty
exec "$engine" run --rm --init --read-only --cap-drop ALL --security-opt no-new-privileges \
  --security-opt label=disable --network "$network" --tmpfs /tmp:rw,exec --user "$user" \
  --hostname "$(uname -n)" --workdir "$PWD" \
  --mount "$(bind "$home" "$home")" --mount "$(bind "$state/toolwear" /state/toolwear)" \
  --env XDG_STATE_HOME=/state --env "TOOLWEAR_HOME=$home" --env "TOOLWEAR_COMMIT=$commit" \
  --env "USER=$(id -un)" \
  --env "TOOLWEAR_USER=${TOOLWEAR_USER:-$(git config user.name 2>/dev/null || true)}" \
  --env TOOLWEAR_SEAL_KEY --env OMP_NUM_THREADS --env KAGGLE_USERNAME --env KAGGLE_KEY \
  --env MLFLOW_TRACKING_URI --env MLFLOW_TRACKING_USERNAME --env MLFLOW_TRACKING_PASSWORD \
  "$@"
