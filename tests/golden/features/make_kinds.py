"""Writes kinds.inc, what tests/unit/features/test_kinds.c holds MFCC, chroma, tempogram and CQT against.

    venv/bin/python make_kinds.py > kinds.inc

Needs requirements.txt. Values stand where make_golden.py's do.
"""
import librosa
import numpy as np

import reference
import signals
from make_golden import c_list, sampled

N_CELLS = 64

print(f"/* Made by make_kinds.py; do not edit. librosa {librosa.__version__} */\n")
print(f"enum {{ KIND_CELLS = {N_CELLS} }};\n")
print("static const struct golden_kind GOLDEN_KINDS[] = {")
for kind in reference.KINDS:
    for signal in ("q", "chirp", "square", "chord"):
        out = reference.kind(kind, signals.ALL[signal]())
        mean, most = np.mean(out, dtype=np.float64), np.max(np.abs(out))
        print(f'    {{"{kind}", "{signal}", {out.shape[0]}, {out.shape[1]}, {mean:.9g}, {most:.9g},')
        print(f"     {{{c_list(sampled(out, N_CELLS))}}}}},")
print("};")
