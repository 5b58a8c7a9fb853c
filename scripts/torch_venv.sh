#!/bin/sh
# torch_venv.sh BUILD_DIR REQUIREMENTS: a virtual environment that sees the PyTorch that is installed
# (Debian's python3-torch belongs to /usr/bin/python3). REQUIREMENTS name all that is needed: what a
# package itself would ask for (another PyTorch of gigabytes, the SDKs of four clouds) stays out. Prints
# where it is.
set -eu
venv=$1/venv-torch
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
"$venv/bin/pip" install -q --disable-pip-version-check --no-deps -r "$2" >&2
echo "$venv"
