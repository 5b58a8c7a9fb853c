#!/bin/sh
# The whole audio stage on one core, 30 s MP3 in memory to the log-mel of a 10 s clip, the decoder's
# process included; and the ancestor's calls (pydub, librosa) on the same files in the same run, with
# the virtual environment that `make conformance` leaves in BUILD_DIR.
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
python=${VENV:-$build/venv}/bin/python
if [ ! -x "$python" ]; then
    echo "the ancestor's calls: make conformance makes the virtual environment that they need"
    exit 0
fi
# Both as they are best: one thread, everything loaded and warm, the best of several rounds.
OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $one_core "$python" - "$wall_ms" "$logmel_ms" "$tmp"/*.mp3 <<'PYTHON'
import io, random, sys, time
import librosa, scipy, numpy as np
from pydub import AudioSegment

def stage(mp3):
    audio = AudioSegment.from_file(io.BytesIO(mp3))
    start = random.randrange(len(audio) - 10000)
    wav = io.BytesIO()
    audio[start : start + 10000].export(wav, format="wav")
    wav.seek(0)
    y, rate = librosa.load(wav, sr=22050)
    return mel(y)

def mel(y):
    s = librosa.feature.melspectrogram(y=y, sr=22050, n_fft=2048, hop_length=512, n_mels=128)
    return librosa.power_to_db(s, ref=np.max)

def best_ms(call, argument, rounds, clock):
    times = []
    for _ in range(rounds):
        start = clock()
        call(argument)
        times.append(clock() - start)
    return 1e3 * min(times)

files = [open(path, "rb").read() for path in sys.argv[3:]]
stage(files[0])
ms = sum(best_ms(stage, mp3, 5, time.perf_counter) for mp3 in files) / len(files)
print(f"the ancestor's calls, pydub and librosa {librosa.__version__}: {ms:.1f} ms, "
      f"{ms / float(sys.argv[1]):.1f} times as long (goal 10)")
y = np.random.default_rng(1).normal(0, 0.1, 220500).astype(np.float32)
ms = best_ms(mel, y, 30, time.process_time)
print(f"librosa's log-mel of 10 s, SciPy {scipy.__version__}: {ms:.1f} ms of CPU, {ms / float(sys.argv[2]):.1f} times as "
      "long (goal 15)")
PYTHON
