#!/bin/sh
# MLflow's registry and Feast's. libpq's variables say where they are; $DATABASES names them.
part=postgres
. "$(dirname "$0")/common.sh"
case "${1:-}" in
backup)
  begin
  for name in $DATABASES; do
    pg_dump --format=custom --file="$copy/$name.dump" "$name"
    pg_restore --list "$copy/$name.dump" >/dev/null
  done
  keep
  ;;
list) stamps ;;
restore)
  # Else it tells of each table that goes with the schema.
  export PGOPTIONS="${PGOPTIONS:-} --client-min-messages=warning"
  choose "${2:-}"
  work="$(mktemp -d)"
  trap 'rm -rf "$work"' EXIT
  for name in $DATABASES; do
    pg_restore --file="$work/$name.sql" "$copy/$name.dump"
  done
  for name in $DATABASES; do
    # All or nothing; and tables that were made since are gone with the rest.
    psql --quiet --output=/dev/null --single-transaction --set=ON_ERROR_STOP=1 --dbname="$name" \
      --command="DROP SCHEMA public CASCADE" \
      --command="CREATE SCHEMA public AUTHORIZATION pg_database_owner" \
      --command="GRANT USAGE ON SCHEMA public TO PUBLIC" \
      --file="$work/$name.sql"
    echo "$part: $name is back"
  done
  ;;
*) usage ;;
esac
