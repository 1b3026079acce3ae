#!/bin/sh
# A PostgreSQL for the store's tests: an installed one, or Debian's where this runs as root. Says so when there is none.
set -eu

for initdb in initdb /usr/lib/postgresql/*/bin/initdb /opt/homebrew/opt/postgresql@*/bin/initdb \
              /usr/local/opt/postgresql@*/bin/initdb; do
    if command -v "$initdb" >/dev/null 2>&1; then exit 0; fi
done
if [ "${QSEC_SKIP_POSTGRES:-}" = 1 ]; then
    echo "!! No PostgreSQL found and QSEC_SKIP_POSTGRES=1: the store's tests on PostgreSQL are SKIPPED." >&2
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Debian's PostgreSQL for the store's tests…"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null
    # The tests start servers of their own: Debian need not set up one for the machine.
    sed -ri 's/^#?(create_main_cluster) .*/\1 = false/' /etc/postgresql-common/createcluster.conf
    apt-get install -y -qq --no-install-recommends postgresql >/dev/null
    exit 0
fi
echo "!! The store's tests need PostgreSQL. Install it, or set QSEC_SKIP_POSTGRES=1 to go on without those tests." >&2
exit 1
