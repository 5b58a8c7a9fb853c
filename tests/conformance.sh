#!/bin/sh
# Compares with the reference implementations themselves: a virtual environment under BUILD_DIR gets the
# pinned packages from PyPI, then each conformance script prints its table and fails past its gate. Last,
# librosa's speed: there, and on Debian 12's own NumPy and SciPy.
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
[ -x "$venv-debian/bin/python" ] || /usr/bin/python3 -m venv --system-site-packages "$venv-debian"
"$venv-debian/bin/pip" install -q --disable-pip-version-check -r tests/golden/features/requirements-debian.txt
for python in "$venv/bin/python" "$venv-debian/bin/python"; do
    "$python" tests/bench/librosa_speed.py "$build"
done
exit $status
