"""Writes presets.inc, what tests/unit/features/test_presets.c holds our presets against.

    venv/bin/python make_presets.py > presets.inc

Needs requirements.txt. Values stand where make_golden.py's do.
"""
import librosa
import numpy as np
import transformers

import reference
import signals
from make_golden import c_list, sampled

N_CELLS = 64
N_SAMPLES = 159900  # the AST's picture is filled up; the last frames reflect or are incomplete

print(f"/* Made by make_presets.py; do not edit. librosa {librosa.__version__}, ", end="")
print(f"transformers {transformers.__version__} */\n")
print(f"enum {{ PRESET_CELLS = {N_CELLS}, PRESET_SAMPLES = {N_SAMPLES} }};\n")
print("static const struct golden_preset GOLDEN_PRESETS[] = {")
for preset in reference.PRESETS:
    for signal in ("q", "tone", "chord", "impulse"):
        out = reference.preset(preset, signals.ALL[signal]()[:N_SAMPLES])
        mean = np.mean(out, dtype=np.float64)
        print(f'    {{"{preset}", "{signal}", {out.shape[0]}, {out.shape[1]}, {mean:.9g},')
        print(f"     {{{c_list(sampled(out, N_CELLS))}}}}},")
print("};")
