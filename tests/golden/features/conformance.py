"""Compares every stage with the installed librosa and audiomentations, and fails past a gate.

    conformance.py BUILD_DIR [RECORDING...]

Recordings are any files that ffmpeg reads; their first 10 s at 22,050 Hz join the signals.
"""
import subprocess
import sys
import time

import numpy as np

import reference
import signals

failures = 0


def run(tool, *args, samples=None):
    data = b"" if samples is None else np.ascontiguousarray(samples, dtype="<f4").tobytes()
    done = subprocess.run([tool, *map(str, args)], input=data, stdout=subprocess.PIPE, check=True)
    return done.stdout


def floats(*args, **kwargs):
    return np.frombuffer(run(*args, **kwargs), dtype="<f4")


def row(stage, signal, figure, unit, gate, at_most=True):
    """Prints a line of the table; at_most says on which side of the gate is well."""
    global failures
    well = gate is None or (figure <= gate if at_most else figure >= gate)
    failures += not well
    sign = "" if gate is None else ("<= " if at_most else ">= ") + f"{gate:g}"
    print(f"{stage:<22}{signal:<22}{figure:>14.6g} {unit:<12}{sign:<12}{'' if well else 'FAIL'}")


def snr_db(want, got):
    error = np.sum((want.astype(np.float64) - got) ** 2)
    return 999.0 if error == 0 else 10 * np.log10(np.sum(want.astype(np.float64) ** 2) / error)


def recording(path):
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-t", "10", "-ac", "1", "-ar", "22050", "-f", "f32le", "-"],
        stdout=subprocess.PIPE, check=True,
    ).stdout
    return np.frombuffer(raw, dtype="<f4").copy()


def compare_spectra(tool, name, y):
    want = reference.stft(y)
    got = np.frombuffer(run(tool, "stft", samples=y), dtype="<c8").reshape(want.shape)
    equal = want.view("<u8") == got.view("<u8")
    same = equal | (want == got)  # 0 and -0
    row("stft, equal bins", name, 100 * np.mean(same), "%", 99.99, at_most=False)
    peak = np.max(np.abs(want)) or 1
    row("stft, largest error", name, np.max(np.abs(want - got)) / peak, "of peak", 1e-7)
    want = reference.mel(y)
    got = floats(tool, "mel", samples=y).reshape(want.shape)
    over = want > 1e-9 * np.max(want)
    worst = np.max(np.abs(got[over] / want[over].astype(np.float64) - 1)) if np.any(over) else 0
    row("mel power", name, worst, "relative", 1e-6)
    want = reference.db(y)
    got = floats(tool, "db", samples=y).reshape(want.shape)
    row("decibels", name, np.max(np.abs(want - got)), "dB", 2e-5)


# Decibels, 2 ulp of a float at 100; AST's and Whisper's values are numbers of about -2 to 2.
PRESET_GATES = {"librosa-0.8": 2e-5, "torchaudio": 2e-5, "kaldi-ast": 1e-6, "whisper": 1e-6}


def compare_presets(tool, name, y):
    for preset, gate in PRESET_GATES.items():
        want = reference.preset(preset, y)
        got = floats(tool, "preset", preset, samples=y).reshape(want.shape)
        row(preset, name, np.max(np.abs(want - got)), "values", gate)


# Of the picture's largest value.
KIND_GATES = {"mfcc": 1e-6, "chroma": 5e-6, "tempogram": 1e-4, "cqt": 5e-6}


def compare_kinds(tool, name, y):
    for kind, gate in KIND_GATES.items():
        want = reference.kind(kind, y)
        got = floats(tool, kind, samples=y).reshape(want.shape)
        error = np.abs(want - got)
        if kind == "tempogram":  # elsewhere it is a quotient of rounding noise
            error = error[reference.onsets_near(y)]
        row(kind, name, np.max(error, initial=0) / (np.max(np.abs(want)) or 1), "of largest", gate)


def compare_bank(tool):
    want = reference.bank()
    got = floats(tool, "bank").reshape(want.shape)
    row("mel bank", "22050/2048/128", np.sum(want != got), "weights off", 0)


def compare_resample(tool, y):
    for from_hz in (8000, 11025, 16000, 32000, 44100, 48000, 96000):
        for n in (1, 2, 10, 4411, 44101, 220500):
            want = reference.resample(y[:n], from_hz, 22050)
            got = floats(tool, "resample", from_hz, 22050, samples=y[:n])
            assert len(want) == len(got), (from_hz, n, len(want), len(got))
            if n == 220500:
                row("resample", f"{from_hz} to 22050", np.max(np.abs(want - got)), "absolute", 1e-6)


def compare_vocoder(tool, name, y):
    for rate in (0.8, 0.937, 1.0, 1.25):
        want = reference.stretch(y, rate)
        got = floats(tool, "stretch", rate, samples=y)
        assert len(want) == len(got)
        row("stretch, float64", f"{name} {rate}", snr_db(want, got), "dB SNR", 120, at_most=False)
        row("  librosa's float32", f"{name} {rate}", snr_db(want, reference.stretch(y, rate, np.float32)),
            "dB SNR", None)
    for semitones in (-4, -0.7, 2.3, 4):
        want = reference.pitch_shift(y, semitones)
        got = floats(tool, "augment", f"pitch_shift semitones={semitones}", samples=y)
        row("pitch shift, float64", f"{name} {semitones}", snr_db(want, got), "dB SNR", 110, at_most=False)


def compare_others(tool, name, y):
    for fraction in (-0.5, -0.123, 0.31, 0.5):
        got = floats(tool, "augment", f"shift fraction={fraction}", samples=y)
        row("shift", f"{name} {fraction}", np.max(np.abs(reference.shift(y, fraction) - got)), "absolute", 1e-7)
    for percent in (10, 33, 60):
        got = floats(tool, "augment", f"clipping percent={percent}", samples=y)
        row("clipping", f"{name} {percent}", np.max(np.abs(reference.clipping(y, percent) - got)), "absolute", 0)


def compare_speed(tool, y):
    times = []
    for _ in range(15):
        start = time.perf_counter()
        reference.db(y)
        times.append(time.perf_counter() - start)
    ours_us = float(run(tool, "time", samples=y))
    theirs_us = 1e6 * sorted(times)[len(times) // 2]
    print(f"\n10 s to decibels: {ours_us / 1e3:.2f} ms, librosa {theirs_us / 1e3:.1f} ms, {theirs_us / ours_us:.1f} times")


def main():
    tool = sys.argv[1] + "/tests/golden/features/stages"
    print(f"{'stage':<22}{'signal':<22}{'worst':>14} {'':<12}gate")
    compare_bank(tool)
    for name, make in signals.ALL.items():
        compare_spectra(tool, name, make())
        compare_presets(tool, name, make())
        compare_kinds(tool, name, make())
    for path in sys.argv[2:]:
        name, y = path.rsplit("/", 1)[-1][:20], recording(path)
        compare_spectra(tool, name, y)
        compare_presets(tool, name, y)
        compare_kinds(tool, name, y)
    compare_resample(tool, signals.q())
    for name in ("q", "chord"):
        compare_vocoder(tool, name, signals.ALL[name]())
        compare_others(tool, name, signals.ALL[name]())
    compare_speed(tool, signals.q())
    print(f"{failures} past their gate")
    return failures != 0


sys.exit(main())
