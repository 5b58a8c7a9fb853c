#!/bin/sh
# Compares with the reference implementations themselves: a virtual environment under BUILD_DIR gets the
# pinned packages from PyPI, then each conformance script prints its table and fails past its gate.
#     make conformance [AUDIO=DIR]      DIR: recordings that join the signals of the audio features
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
venv=$build/venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
status=0
for script in tests/golden/*/conformance.py; do
    requirements=$(dirname "$script")/requirements.txt
    [ ! -e "$requirements" ] || "$venv/bin/pip" install -q -r "$requirements"
    "$venv/bin/python" "$script" "$build" || status=1
done
exit $status
