"""Compares every stage with the installed librosa, audiomentations, transformers and pydub.

    conformance.py BUILD_DIR

prints a table, as Markdown, of the worst difference of each stage on each signal, and fails when one is past its
gate. The recordings in the folder $AUDIO, any files that ffmpeg reads, join the signals with their first 10 s at
22,050 Hz.
"""
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

import reference
import signals

BUILD = Path(sys.argv[1])
TOOL = BUILD / "tests/golden/features/stages"
NOISE_KEY = "0123456789abcdef"


class Table:
    """Figures by stage and signal. A stage keeps the worst of each signal, and has one gate."""

    def __init__(self):
        self.stages, self.signals, self.failures = {}, [], 0

    def add(self, stage, signal, figure, gate=None, at_least=False):
        gate_then, at_least_then, figures = self.stages.setdefault(stage, (gate, at_least, {}))
        assert (gate_then, at_least_then) == (gate, at_least), stage
        if signal not in self.signals:
            self.signals.append(signal)
        worse = min if at_least else max
        figures[signal] = worse(figure, figures.get(signal, figure))
        if gate is not None and not (figure >= gate if at_least else figure <= gate):
            self.failures += 1
            print(f"FAIL {stage}, {signal}: {figure:g}, gate {gate:g}")

    def show(self):
        print("| stage | gate | worst | " + " | ".join(self.signals) + " |")
        print("|" + "---|" * (3 + len(self.signals)))
        for stage, (gate, at_least, figures) in self.stages.items():
            worst = (min if at_least else max)(figures.values())
            cells = [f"{figures[s]:.3g}" if s in figures else "" for s in self.signals]
            sign = "" if gate is None else (">= " if at_least else "<= ") + f"{gate:g}"
            print(f"| {stage} | {sign} | {worst:.3g} | " + " | ".join(cells) + " |")


table = Table()
warnings.filterwarnings("ignore", message=".*mel filter.*|.*Empty filters.*")


def run(*args, samples=None):
    data = b"" if samples is None else np.ascontiguousarray(samples, dtype="<f4").tobytes()
    done = subprocess.run([TOOL, *map(str, args)], input=data, stdout=subprocess.PIPE, check=True)
    return done.stdout


def floats(*args, **kwargs):
    return np.frombuffer(run(*args, **kwargs), dtype="<f4")


def snr_db(want, got):
    assert len(want) == len(got), (len(want), len(got))
    error = np.sum((want.astype(np.float64) - got) ** 2)
    return 999.0 if error == 0 else 10 * np.log10(np.sum(want.astype(np.float64) ** 2) / error)


def worst(want, got):
    assert want.shape == got.shape, (want.shape, got.shape)
    return np.max(np.abs(want.astype(np.float64) - got), initial=0)


def ffmpeg(*args):
    return subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *map(str, args)], stdout=subprocess.PIPE,
                          check=True).stdout


def recordings():
    """(name, path) of what ffmpeg finds audio in."""
    folder = os.environ.get("AUDIO")
    found = []
    for path in sorted(Path(folder).iterdir()) if folder else []:
        if subprocess.run(["ffprobe", "-v", "quiet", path]).returncode == 0 and path.suffix != ".txt":
            found.append((f"{path.stem[:10]} {len(found) + 1}", path))
    return found


def recording(path):
    return np.frombuffer(ffmpeg("-i", path, "-t", 10, "-ac", 1, "-ar", 22050, "-f", "f32le", "-"), dtype="<f4").copy()


# ---------------------------------------------------------------- spectra


def compare_spectra(name, y):
    want = reference.stft(y)
    got = np.frombuffer(run("stft", samples=y), dtype="<c8").reshape(want.shape)
    same = (want.view("<u8") == got.view("<u8")) | (want == got)  # 0 and -0
    table.add("STFT, % of bins equal in all bits", name, 100 * np.mean(same), 99.99, at_least=True)
    want = reference.mel(y)
    got = floats("mel", samples=y).reshape(want.shape)
    over = want > 1e-9 * np.max(want)
    figure = np.max(np.abs(got[over] / want[over].astype(np.float64) - 1)) if np.any(over) else 0
    table.add("mel power, relative", name, figure, 1e-6)
    want = reference.db(y)
    table.add("decibels", name, worst(want, floats("db", samples=y).reshape(want.shape)), 2e-5)


# Decibels, 2 ulp of a float at 100; AST's and Whisper's values are numbers of about -2 to 2.
PRESET_GATES = {"librosa-0.8": 2e-5, "torchaudio": 2e-5, "kaldi-ast": 1e-6, "whisper": 1e-6}


def compare_presets(name, y):
    for preset, gate in PRESET_GATES.items():
        want = reference.preset(preset, y)
        got = floats("preset", preset, samples=y).reshape(want.shape)
        table.add(f"preset {preset}", name, worst(want, got), gate)


def compare_torchaudio(name, y):
    """torchaudio itself transforms in float32, whose noise shows in quiet cells."""
    script = Path(__file__).with_name("torchaudio_mel.py")
    done = subprocess.run(["/usr/bin/python3", script], input=y.tobytes(), stdout=subprocess.PIPE, check=True)
    want = np.frombuffer(done.stdout, dtype="<f4")
    got = floats("preset", "torchaudio", samples=y)
    loud = want > np.max(want) - 80
    table.add("preset torchaudio, torchaudio itself, to -80 dB", name, worst(want[loud], got[loud]), 0.01)


# Of the picture's largest value.
KIND_GATES = {"mfcc": 1e-6, "chroma": 5e-6, "tempogram": 1e-4, "cqt": 5e-6}


def compare_kinds(name, y):
    for kind, gate in KIND_GATES.items():
        want = reference.kind(kind, y)
        got = floats(kind, samples=y).reshape(want.shape)
        error = np.abs(want - got)
        if kind == "tempogram":  # elsewhere it is a quotient of rounding noise
            error = error[reference.onsets_near(y)]
        table.add(f"{kind}, of the largest", name, np.max(error, initial=0) / (np.max(np.abs(want)) or 1), gate)


def compare_bank():
    want = reference.bank()
    off = np.sum(want != floats("bank").reshape(want.shape))
    table.add("mel bank, weights off", "none", off, 0)


def compare_resample(name, y):
    for from_hz in (8000, 11025, 16000, 32000, 44100, 48000, 96000):
        for n in (1, 2, 10, 4411, 44101, 220500):
            want = reference.resample(y[:n], from_hz, 22050)
            got = floats("resample", from_hz, 22050, samples=y[:n])
            table.add("resample to 22,050 Hz, absolute", name, worst(want, got), 1e-6)


# ---------------------------------------------------------------- augmentation


def augment(record, y):
    return floats("augment", record, samples=y)


def compare_vocoder(name, y):
    for rate in (0.8, 0.937, 1.0, 1.25):
        exact, f32 = reference.stretch(y, rate), reference.stretch(y, rate, np.float32)
        got = floats("stretch-f32", rate, samples=y)
        table.add("time stretch, dB above the difference to float64", name,
                  snr_db(exact, floats("stretch", rate, samples=y)), 120, at_least=True)
        table.add("librosa in float32, same", name, snr_db(exact, f32), at_least=True)
        table.add("time stretch as float32, dB above the difference to librosa", name, snr_db(f32, got), 50,
                  at_least=True)
        table.add("same, librosa with nearest angles", name, snr_db(reference.stretch_nearest(y, rate), got), 120,
                  at_least=True)
    for semitones in (-4, -0.7, 2.3, 4):
        table.add("pitch shift, dB above the difference to float64", name,
                  snr_db(reference.pitch_shift(y, semitones), augment(f"pitch_shift semitones={semitones}", y)), 110,
                  at_least=True)


def compare_audiomentations(name, y):
    """Each class itself, with our parameter and our noise."""
    def add(kind, want, got, gate):
        table.add(f"{kind}, absolute", name, worst(want, got), gate)

    noise = augment(f"gaussian_noise amplitude=1 noise={NOISE_KEY}", np.zeros_like(y))
    for a in (0.001, 0.015):
        add("AddGaussianNoise", reference.augmented("AddGaussianNoise", y, noise, amplitude=a),
            augment(f"gaussian_noise amplitude={a} noise={NOISE_KEY}", y), 1e-7)
    for db in (5, 10):
        add("AddGaussianSNR", reference.augmented("AddGaussianSNR", y, noise, snr_db=db),
            augment(f"gaussian_snr db={db} noise={NOISE_KEY}", y), 2e-6)  # its rms is a float32
    for db in (-5, 0.37, 5):
        add("Gain", reference.augmented("Gain", y, gain_db=db), augment(f"gain db={db}", y), 1.2e-7)
    for fraction in (-0.5, -0.123, 0.31, 0.5):
        add("Shift", reference.augmented("Shift", y, shift=fraction), augment(f"shift fraction={fraction}", y), 0)
    for percent in (10, 33, 60):
        add("ClippingDistortion", reference.augmented("ClippingDistortion", y, percentile_threshold=percent),
            augment(f"clipping percent={percent}", y), 0)
    add("PolarityInversion", reference.augmented("PolarityInversion", y), augment("polarity", y), 0)
    for center, width, order in ((200, 0.5, 2), (1000, 1.0, 3), (4000, 1.99, 4), (50, 1.99, 1), (11000, 1.5, 2)):
        add("BandPassFilter",
            reference.augmented("BandPassFilter", y, center_freq=center, bandwidth_fraction=width, rolloff=6 * order),
            augment(f"band_pass center={center} width={width} order={order}", y), 1e-6)
    click = np.zeros(3 * reference.RATE, dtype=np.float32)
    click[0] = 1
    for seconds, wet in ((0.2, -10), (1.5, 0)):
        record = f"reverb seconds={seconds} wet={wet} noise={NOISE_KEY}"
        response = np.trim_zeros(augment(record, click), "b")
        add("ApplyImpulseResponse", reference.reverb(y, response), augment(record, y), 1e-6)
    for rate in (0.8, 1.25):
        table.add("TimeStretch, dB above the difference", name,
                  snr_db(reference.augmented("TimeStretch", y, rate=rate),
                         augment(f"time_stretch rate={rate} mode=librosa-f32", y)), 50, at_least=True)
    for semitones in (-4, 2.3):
        table.add("PitchShift, dB above the difference", name,
                  snr_db(reference.augmented("PitchShift", y, semitones=semitones),
                         augment(f"pitch_shift semitones={semitones} mode=librosa-f32", y)), 50, at_least=True)


# ---------------------------------------------------------------- a file, through everything


def compare_whole(name, path, start_ms, ms, reference_path=None):
    """refrain features, decoder and all, against pydub, librosa.load and the rest of the ancestor's calls."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as out:
        subprocess.run([BUILD / "bin/refrain-extract", "features", path, "-o", out.name, "--start-ms", str(start_ms),
                        "--ms", str(ms)], stdout=subprocess.DEVNULL, check=True)
        got = np.load(out.name).T
    table.add("file to decibels: pydub, librosa.load", name, worst(reference.whole(reference_path or path, start_ms, ms), got),
              2e-5)


def compare_encoded(name, y):
    """The signal as an MP3 and as stereo FLAC at 48,000 Hz."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "y.wav"
        reference.soundfile.write(wav, y, reference.RATE, subtype="PCM_16")
        for file, options in (("y.mp3", ("-b:a", "96k")), ("y.flac", ("-ar", "48000", "-ac", "2"))):
            ffmpeg("-i", wav, *options, Path(folder) / file)
            compare_whole(name, Path(folder) / file, 1234, 8000)


def main():
    compare_bank()
    made = {name: make() for name, make in signals.ALL.items()}
    played = recordings()
    for name, y in made.items():
        compare_spectra(name, y)
        compare_presets(name, y)
        compare_torchaudio(name, y)
        compare_kinds(name, y)
    for name in ("q", "noise", "chord", "chirp"):
        compare_vocoder(name, made[name])
        compare_audiomentations(name, made[name])
    for name in ("q", "chord", "square"):
        compare_resample(name, made[name])
        compare_encoded(name, made[name])
    for name, path in played:
        y = recording(path)
        compare_spectra(name, y)
        compare_presets(name, y)
        compare_torchaudio(name, y)
        compare_kinds(name, y)
        compare_vocoder(name, y)
        compare_audiomentations(name, y)
        with tempfile.NamedTemporaryFile(suffix=".wav") as wav:  # of Vorbis, pydub keeps more than 16 bits
            ffmpeg("-i", path, "-acodec", "pcm_s16le", wav.name)
            compare_whole(name, path, 0, 5000, wav.name)
    table.show()
    print(f"{table.failures} past their gate")
    return table.failures != 0


sys.exit(main())
