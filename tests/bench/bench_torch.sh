#!/bin/sh
# A training step of resnet18 beside PyTorch's, one run, 2 threads, 32 triplets of 431 x 128: all layers,
# and with layer4 unfrozen; ours as it is by default, and with drawn negatives as PyTorch has them. PyTorch is that of BUILD_DIR/venv-pytorch, which `bench_torch.sh BUILD_DIR
# install` fills with the newest from PyPI (5 GB with its CUDA libraries, which are not used), else Debian's
# python3-torch; without either this says so and ends.
#     tests/bench/bench_torch.sh BUILD_DIR [install | ROUNDS]
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
venv=$build/venv-pytorch
if [ "${2:-}" = install ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check --upgrade numpy torch
    exit
fi
for python in "$venv/bin/python" python3 /usr/bin/python3; do
    if "$python" -c 'import torch' 2>/dev/null; then
        exec "$python" tests/bench/bench_torch.py "$build" "${2:-3}"
    fi
done
echo "bench_torch: skipped: no PyTorch here (apt-get install python3-torch, or $0 $build install)"
