#!/bin/sh
# The store from Python beside what people use instead, one run, the same clips: log-mels of composed
# music in a store, HDF5, WebDataset, Mosaic Streaming, LMDB with pickles and a mapped float32 array, read
# as random batches, warm and with memory for a quarter of the float32 data; then Python against C, and how
# long a training step waits for a DataLoader. The peers come from PyPI; without it this says so and ends.
#     tests/bench/bench_peers.sh BUILD_DIR [CLIPS]
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
clips=${2:-3000}
works=24
scripts/setup.sh packages-conformance.txt
if ! venv=$(scripts/torch_venv.sh "$build" tests/bench/peers_requirements.txt 2>"$build/peers_pip.log"); then
    echo "bench_peers: skipped: the peers cannot be installed from PyPI here (see $build/peers_pip.log)"
    exit 0
fi
tmp=$(mktemp -d "${TMPDIR:-/tmp}/refrain-bench.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
corpus=$build/corpus/bench-peers
[ -e "$corpus/music_info.csv" ] ||
    python3 tests/corpus/compose.py --base-url http://corpus.invalid --works $works --versions 1 \
        -o "$corpus" 2>/dev/null
mkdir "$tmp/mels"
for song in "$corpus"/previews/*; do
    "$build/bin/refrain-extract" features "$song" -o "$tmp/mels/${song##*/}.npy" --quiet >/dev/null
done
PYTHONPATH=$PWD/python REFRAIN_STORE_LIB=$build/lib/librefrain_store.so \
    "$venv/bin/python" tests/bench/bench_peers.py "$build" "$tmp" "$clips"
