#!/bin/sh
# The databases of Kubeflow Pipelines that are there of $DATABASES, at $MYSQL_HOST, as $MYSQL_USER
# with the password $MYSQL_PWD.
part=kubeflow
. "$(dirname "$0")/common.sh"
where="--host=${MYSQL_HOST:-} --port=${MYSQL_PORT:-3306} --user=${MYSQL_USER:-}"
case "${1:-}" in
backup)
  begin
  # shellcheck disable=SC2086
  there="$(mysql $where --batch --skip-column-names --execute='SHOW DATABASES')"
  found=""
  for name in $DATABASES; do
    if echo "$there" | grep -qx "$name"; then found="$found $name"; fi
  done
  if [ -z "$found" ]; then
    echo "$part: none of $DATABASES is at $MYSQL_HOST" >&2
    exit 2
  fi
  # shellcheck disable=SC2086
  mysqldump $where --single-transaction --routines --triggers --no-tablespaces \
    --databases $found >"$copy/databases.sql"
  # Its last line: without it, it was cut off.
  tail -n 1 "$copy/databases.sql" | grep -q "Dump completed"
  gzip "$copy/databases.sql"
  keep
  ;;
list) stamps ;;
restore)
  choose "${2:-}"
  # shellcheck disable=SC2086
  gzip -dc "$copy/databases.sql.gz" | mysql $where
  # What was at work then has no workflow any more, and nobody else would tell its end. One that goes on
  # is told again by Kubeflow itself.
  # shellcheck disable=SC2086
  if [ -n "$(mysql $where --execute="SHOW TABLES FROM mlpipeline LIKE 'run_details'")" ]; then
    mysql $where --database=mlpipeline --execute="
      UPDATE run_details SET State = 'FAILED', Conditions = 'Failed', FinishedAtInSec = UNIX_TIMESTAMP()
      WHERE State NOT IN ('SUCCEEDED', 'FAILED', 'SKIPPED', 'CANCELED')"
  fi
  echo "$part: the databases are back"
  ;;
*) usage ;;
esac
