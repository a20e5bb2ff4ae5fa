#!/bin/bash
# PostgreSQL for the log of docker-compose.yml: reached through a socket in a volume, by the user of
# the same number as this process only (peer authentication). No password, no port, no network.
set -eu

if [ ! -s /ledger/data/PG_VERSION ]; then
  rm -rf /ledger/made
  initdb -D /ledger/made --username=postgres --auth-local=peer --auth-host=reject \
    --encoding=UTF8 --locale=C.UTF-8 --data-checksums >/dev/null
  # What governance is: a role that owns its database, and nothing else.
  postgres --single -D /ledger/made postgres >/dev/null <<'SQL'
CREATE ROLE tds LOGIN
CREATE DATABASE tdslog OWNER tds
SQL
  # Whole from here on; what was cut off before is made again.
  mv /ledger/made /ledger/data
fi
exec postgres -D /ledger/data -c listen_addresses= -c unix_socket_directories=/socket \
  -c unix_socket_permissions=0700 -c shared_buffers=32MB -c max_connections=20
