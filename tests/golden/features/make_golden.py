"""Writes golden.inc, the numbers that tests/unit/features/test_golden.c holds our code against.

    venv/bin/python make_golden.py > golden.inc

Needs requirements.txt. Sampled values stand at index (j * 2654435761 + 97) % size, j = 0, 1, ...
Checksums are zlib's crc32 of little-endian floats, minus zero counted as zero.
"""
import zlib

import audiomentations
import librosa
import numpy as np
import scipy
import soxr

import reference
import signals

N_CELLS, N_SAMPLES = 96, 192
STRETCHES = (0.8, 0.937, 1.25)
SHIFTS = (-4, -0.7, 2.3, 4)
BANDS = ((200, 0.5, 2), (1000, 1.0, 3), (4000, 1.99, 4), (50, 1.99, 1))
RATES = (8000, 11025, 16000, 32000, 44100, 48000, 96000)
LENGTHS = (0, 1, 2, 10, 4411, 44101)


def crc(x):
    return f"0x{zlib.crc32(np.ascontiguousarray(x + 0, dtype=x.dtype).tobytes()):08x}"


def sampled(x, n):
    x = np.ravel(x)
    return x[(np.arange(n, dtype=np.uint64) * 2654435761 + 97) % x.size]


def c_list(values, indent="     "):
    """Comma-separated numbers in lines of at most 100 columns."""
    lines, line = [], indent
    for v in values:
        item = f"{v:.9g}, "
        if len(line) + len(item) > 100:
            lines.append(line.rstrip())
            line = indent
        line += item
    return "\n".join(lines + [line.rstrip(" ,")]).lstrip()


def spectra():
    print("static const struct golden_spectrum GOLDEN_SPECTRA[] = {")
    for name, make in signals.ALL.items():
        y = make()
        db = reference.db(y)
        print(f'    {{"{name}", {crc(y)}, {crc(reference.stft(y))}, {np.mean(db, dtype=np.float64):.9g},')
        print(f"     {{{c_list(sampled(reference.mel(y), N_CELLS))}}},")
        print(f"     {{{c_list(sampled(db, N_CELLS))}}}}},")
    print("};\n")


def bank():
    w = reference.bank()
    print("static const struct golden_bank GOLDEN_BANK = {")
    print(f"    {np.count_nonzero(w)}, {crc(w)}, {np.sum(w, dtype=np.float64):.9g},")
    print(f"    {w[0][1]:.9g}, {w[0][2]:.9g}, {w[127][1000]:.9g}}};\n")


def resampled():
    y = signals.q()
    print("static const struct golden_resampled GOLDEN_RESAMPLED[] = {")
    for rate in RATES:
        lengths = [len(reference.resample(y[:n], rate, 22050)) if n else 0 for n in LENGTHS]
        out = reference.resample(y[: LENGTHS[-1]], rate, 22050)
        print(f"    {{{rate}, {{{', '.join(map(str, lengths))}}},")
        print(f"     {{{c_list(sampled(out, N_CELLS))}}}}},")
    print("};\n")


def views():
    print("static const struct golden_view GOLDEN_VIEWS[] = {")
    for name in ("q", "chord"):
        y = signals.ALL[name]()
        for rate in STRETCHES:
            out = reference.fit(reference.stretch(y, rate), len(y))
            print(f'    {{"{name}", "time_stretch rate={rate}",')
            print(f"     {{{c_list(sampled(out, N_SAMPLES))}}}}},")
        for rate in STRETCHES:
            out = reference.fit(reference.stretch_nearest(y, rate), len(y))
            print(f'    {{"{name}", "time_stretch rate={rate} mode=librosa-f32",')
            print(f"     {{{c_list(sampled(out, N_SAMPLES))}}}}},")
        for center, width, order in BANDS:
            out = reference.augmented(
                "BandPassFilter", y, center_freq=center, bandwidth_fraction=width, rolloff=6 * order
            )
            print(f'    {{"{name}", "band_pass center={center} width={width} order={order}",')
            print(f"     {{{c_list(sampled(out, N_SAMPLES))}}}}},")
        for semitones in SHIFTS:
            out = reference.pitch_shift(y, semitones)
            print(f'    {{"{name}", "pitch_shift semitones={semitones}",')
            print(f"     {{{c_list(sampled(out, N_SAMPLES))}}}}},")
    print("};\n")
    print("static const struct golden_exact GOLDEN_EXACT[] = {")
    for name in ("q", "chord"):
        y = signals.ALL[name]()

        def exact(record, transform, **parameters):
            print(f'    {{"{name}", "{record}", {crc(reference.augmented(transform, y, **parameters))}}},')

        for fraction in (-0.5, -0.123, 0.31, 0.5):
            exact(f"shift fraction={fraction}", "Shift", shift=fraction)
        for percent in (10, 33, 60):
            exact(f"clipping percent={percent}", "ClippingDistortion", percentile_threshold=percent)
        for db in (-5, 0.37, 5):
            exact(f"gain db={db}", "Gain", gain_db=db)
        exact("polarity", "PolarityInversion")
    print("};")


def main():
    print("/* Made by make_golden.py; do not edit. librosa " + librosa.__version__)
    print(f" * audiomentations {audiomentations.__version__}, numpy {np.__version__}, ", end="")
    print(f"scipy {scipy.__version__}, soxr {soxr.__version__} */\n")
    print(f"enum {{ GOLDEN_CELLS = {N_CELLS}, GOLDEN_SAMPLES = {N_SAMPLES}, GOLDEN_LENGTHS = {len(LENGTHS)} }};")
    print(f"static const size_t GOLDEN_LENGTH[] = {{{', '.join(map(str, LENGTHS))}}};\n")
    spectra()
    bank()
    resampled()
    views()


if __name__ == "__main__":
    main()
