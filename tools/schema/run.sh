#!/usr/bin/env bash
# Tries the REST interface of a fresh server against its own OpenAPI document with schemathesis.
# usage: run.sh BINARY [more arguments of schemathesis]
# Installs the pinned version into a directory of its own under the build directory, once.
# SCHEMA_MISSING=0 makes it no failure when it cannot be had.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
binary=$1
shift
venv=${CARGO_TARGET_DIR:-$here/../../target}/schemathesis
version=4.32.5

if ! "$venv/bin/schemathesis" --version 2>/dev/null | grep -qF "$version"; then
  python3 -m venv "$venv" &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version" || {
    echo "schemathesis $version was not installed: it needs python3 with venv, and PyPI" >&2
    exit "${SCHEMA_MISSING:-1}"
  }
fi

work=$(mktemp -d)
server=
end() {
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap end EXIT

# Whom the requests come from: an administrator by a token that no request can end.
secret='a secret of the schema test, on loopback only'
b64() { openssl base64 -A | tr '+/' '-_' | tr -d '='; }
head=$(printf '{"alg":"HS256","typ":"JWT"}' | b64)
claims=$(printf '{"iss":"schema-test","sub":"root","exp":%s}' "$(($(date +%s) + 3600))" | b64)
sign=$(printf '%s.%s' "$head" "$claims" | openssl dgst -sha256 -hmac "$secret" -binary | b64)
token=$head.$claims.$sign

KLATCH_LIMITS__PROFILE=test KLATCH_AUTH__SETUP_TOKEN=setup-token-of-the-schema-test \
  KLATCH_AUTH__ISSUERS="[{name=\"schema-test\", secret=\"$secret\"}]" \
  KLATCH_TELEMETRY__LEVEL=warn \
  "$binary" serve --listen 127.0.0.1:0 --data-dir "$work/data" >"$work/log" 2>&1 &
server=$!
base=
for _ in $(seq 200); do
  base=$(grep -o 'http://127.0.0.1:[0-9]*' "$work/log" | head -n 1 || true)
  if [ -n "$base" ] && curl -sf "$base/readyz" >/dev/null; then break; fi
  sleep 0.1
done
curl -sf "$base/api/v1/auth/register" -H 'Content-Type: application/json' -o /dev/null -d '{
  "username": "root", "email": "root@example.org", "password": "a long enough password",
  "setupToken": "setup-token-of-the-schema-test"}'

status=0
(cd "$work" && "$venv/bin/schemathesis" --config-file "$here/schemathesis.toml" \
  run "$base/api/v1/openapi.json" -H "Authorization: Bearer $token" "$@") || status=$?
if grep -E 'ERROR|panicked' "$work/log"; then
  echo 'the server has logged errors' >&2
  status=1
fi
exit "$status"
