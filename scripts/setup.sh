#!/bin/sh
# Installs the Debian packages of a list (scripts/packages.txt by default) that are missing, as root or
# through sudo, and says which. Changes nothing else. Does nothing when all are there.
set -eu
cd "$(dirname "$0")"

missing=
for package in $(sed 's/#.*//' "${1:-packages.txt}"); do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "setup: missing Debian packages:$missing" >&2
    echo "setup: become root or install sudo, or run: apt-get install$missing" >&2
    exit 1
fi
echo "setup: installing from Debian:$missing" >&2
$as_root apt-get update -q >&2
# shellcheck disable=SC2086
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2
