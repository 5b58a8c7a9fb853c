#!/bin/sh
# The whole audio stage on one core, 30 s MP3 in memory to the log-mel of a 10 s clip, the decoder's
# process included; and the ancestor's calls (pydub, librosa) on the same files in the same run, in
# the two virtual environments that `make conformance` leaves in BUILD_DIR: the newest NumPy and SciPy,
# and Debian 12's own.
#     tests/bench/bench_stage.sh BUILD_DIR
set -eu
build=$1
files=6
tmp=$(mktemp -d "${TMPDIR:-/tmp}/refrain-bench.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
tests/make_audio.sh "$tmp" mp3 $files 30
one_core=
command -v taskset >/dev/null && one_core="taskset -c $(($(nproc) - 1))"

$one_core "$build/tests/bench/programs/bench_stage" "$tmp"/*.mp3 >"$tmp/ours"
read -r wall_ms cpu_ms logmel_ms <"$tmp/ours"
echo "30 s of MP3 in memory to the log-mel of 10 s, sandbox included: $wall_ms ms, $cpu_ms ms of CPU (goal 15 ms)"
echo "of it the log-mel: $logmel_ms ms of CPU (goal 1.5 ms)"
if [ ! -x "$build/venv/bin/python" ]; then
    echo "the ancestor's calls: make conformance makes the virtual environments that they need"
    exit 0
fi
# Both as they are best: one thread, everything loaded and warm, the best of several rounds.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
for venv in "$build/venv" "$build/venv-debian"; do
    $one_core "$venv/bin/python" tests/bench/ancestor_speed.py "$wall_ms" "$tmp"/*.mp3
    $one_core "$venv/bin/python" tests/bench/librosa_speed.py "$build"
done
