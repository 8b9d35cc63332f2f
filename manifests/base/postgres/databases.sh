#!/bin/bash
# PostgreSQL's image runs this once, on an empty volume: a database and an owner for each user.
set -euo pipefail
for name in mlflow feast; do
  variable="${name^^}_PASSWORD"
  psql --set=ON_ERROR_STOP=1 --username "$POSTGRES_USER" --set=name="$name" --set=password="${!variable}" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
