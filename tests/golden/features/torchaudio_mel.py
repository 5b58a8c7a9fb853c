"""torchaudio's own MelSpectrogram and AmplitudeToDB: float32 samples in, (n_frames, 128) decibels out.

Run by Debian's Python, which has torchaudio; PyPI's needs gigabytes.
"""
import sys
import warnings

import numpy as np
import torch
import torchaudio

warnings.filterwarnings("ignore")
y = torch.from_numpy(np.frombuffer(sys.stdin.buffer.read(), dtype="<f4").copy())
mel = torchaudio.transforms.MelSpectrogram(sample_rate=16000, n_mels=128)
db = torchaudio.transforms.AmplitudeToDB(stype="power")
sys.stdout.buffer.write(np.ascontiguousarray(db(mel(y)).numpy().T, dtype="<f4").tobytes())
