"""The ancestor's calls, pydub and librosa, from an MP3 in memory to the log-mel of 10 s: ancestor_speed.py OUR_MS MP3..."""
import io
import random
import sys
import time

import librosa
import numpy as np
import scipy
from pydub import AudioSegment

ROUNDS = 5


def stage(mp3):
    audio = AudioSegment.from_file(io.BytesIO(mp3))
    start = random.randrange(len(audio) - 10000)
    wav = io.BytesIO()
    audio[start : start + 10000].export(wav, format="wav")
    wav.seek(0)
    y, rate = librosa.load(wav, sr=22050)
    s = librosa.feature.melspectrogram(y=y, sr=22050, n_fft=2048, hop_length=512, n_mels=128)
    return librosa.power_to_db(s, ref=np.max)


def best_ms(mp3):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        stage(mp3)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


files = []
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        files.append(file.read())
stage(files[0])
ms = sum(map(best_ms, files)) / len(files)
print(f"the ancestor's calls, pydub and librosa {librosa.__version__} on SciPy {scipy.__version__}: {ms:.1f} ms, "
      f"{ms / float(sys.argv[1]):.1f} times as long (goal 10)", flush=True)
