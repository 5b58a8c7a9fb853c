"""The log-mel of a 10 s clip by us and by the librosa of this environment, on one core, in turn.

    librosa_speed.py BUILD_DIR

prints one line: versions, librosa's processor time and where it goes, ours, and the ratio. Everything is warm and the
best of many runs, with one thread each. Which BLAS NumPy was linked with is named because librosa multiplies its dense
filter bank with it.
"""
import os
import re
import subprocess
import sys
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import librosa  # noqa: E402
import numpy as np  # noqa: E402
import scipy  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent / "../golden/features"))
import signals  # noqa: E402

ROUNDS, RUNS, RATE = 5, 8, 22050
FORM = {"n_fft": 2048, "hop_length": 512}


def best_ms(call):
    times = []
    for _ in range(RUNS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * min(times)


def blas_name():
    with open("/proc/self/maps") as maps:
        found = re.search(r"[^/]*(openblas|libblas|mkl)[^/]*\.so[.0-9]*$", maps.read(), re.MULTILINE)
    return found.group(0) if found else "unknown"


def main():
    tool = Path(sys.argv[1]) / "tests/golden/features/stages"
    y = signals.ALL["q"]()
    s = librosa.stft(y, **FORM)
    power, bank = np.abs(s) ** 2, librosa.filters.mel(sr=RATE, n_fft=2048)
    mel = librosa.feature.melspectrogram(S=power, sr=RATE)
    parts = {
        "all": lambda: librosa.power_to_db(librosa.feature.melspectrogram(y=y, sr=RATE, **FORM), ref=np.max),
        "STFT": lambda: librosa.stft(y, **FORM),
        "power": lambda: np.abs(s) ** 2,
        "making the bank": lambda: librosa.filters.mel(sr=RATE, n_fft=2048),
        "bank times power": lambda: np.einsum("...ft,mf->...mt", power, bank, optimize=True),
        "decibels": lambda: librosa.power_to_db(mel, ref=np.max),
    }
    theirs, ours = dict.fromkeys(parts, np.inf), np.inf
    for _ in range(ROUNDS):
        for name, call in parts.items():
            theirs[name] = min(theirs[name], best_ms(call))
        done = subprocess.run([tool, "time"], input=y.tobytes(), stdout=subprocess.PIPE, check=True)
        ours = min(ours, float(done.stdout) / 1e3)
    total = theirs.pop("all")
    where = ", ".join(f"{name} {ms:.1f}" for name, ms in theirs.items())
    print(f"log-mel of 10 s: {ours:.2f} ms; librosa {librosa.__version__}, NumPy {np.__version__} with {blas_name()}, SciPy "
          f"{scipy.__version__}: {total:.1f} ms ({where}), {total / ours:.1f} times as long (goal 15)", flush=True)


main()
