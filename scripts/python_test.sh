#!/bin/sh
# Tests of python/ in a virtual environment under BUILD_DIR, the package installed as a user would:
# its tests must not find it in the source folder. PyTorch is taken from where it is installed (Debian's
# python3-torch belongs to /usr/bin/python3); without it pytest says what it skips.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
venv=$build/venv-python
if [ ! -x "$venv/bin/python" ]; then
    python=python3
    for candidate in python3 /usr/bin/python3; do
        if "$candidate" -c 'import torch' 2>/dev/null; then
            python=$candidate
            break
        fi
    done
    "$python" -m venv --system-site-packages "$venv"
fi
"$venv/bin/pip" install -q --disable-pip-version-check -r python/tests/requirements.txt
rm -rf "$build/python"
cp -R python "$build/python" # setuptools leaves its build folder beside the source
"$venv/bin/pip" install -q --disable-pip-version-check --force-reinstall --no-deps "$build/python"
cd "$build/python/tests"
REFRAIN_STORE_LIB=$build/lib/librefrain_store.so REFRAIN_MAKE_STORE=$build/tests/golden/store/make_store \
    exec "$venv/bin/python" -m pytest -q -p no:cacheprovider -rs .
