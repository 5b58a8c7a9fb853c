#!/bin/sh
# Tests of python/ in a virtual environment under BUILD_DIR, the package installed as a user would:
# its tests must not find it in the source folder. Without PyTorch pytest says what it skips.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
venv=$(scripts/torch_venv.sh "$build" python/tests/requirements.txt)
rm -rf "$build/python"
cp -R python "$build/python" # setuptools leaves its build folder beside the source
"$venv/bin/pip" install -q --disable-pip-version-check --force-reinstall --no-deps "$build/python"
cd "$build/python/tests"
REFRAIN_STORE_LIB=$build/lib/librefrain_store.so REFRAIN_MAKE_STORE=$build/tests/golden/store/make_store \
    exec "$venv/bin/python" -m pytest -q -p no:cacheprovider -rs .
