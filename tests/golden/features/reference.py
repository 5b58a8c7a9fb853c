"""What librosa, audiomentations, transformers and pydub themselves give, stage by stage; one function a stage."""
import io
import tempfile
from unittest import mock

import audiomentations as aug
import librosa
import numpy as np
import soundfile
from pydub import AudioSegment
from scipy.ndimage import maximum_filter1d
from transformers import ASTFeatureExtractor, WhisperFeatureExtractor
from transformers.audio_utils import spectrogram

RATE, N_FFT, HOP, N_MELS = 22050, 2048, 512, 128


def stft(y):
    return np.ascontiguousarray(librosa.stft(y, n_fft=N_FFT, hop_length=HOP).T)


def power(y):
    return np.abs(stft(y)) ** 2


def mel(y):
    return np.ascontiguousarray(
        librosa.feature.melspectrogram(y=y, sr=RATE, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS).T
    )


def db(y):
    return np.ascontiguousarray(librosa.power_to_db(mel(y).T, ref=np.max).T)


def bank():
    return librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=N_MELS)


def resample(y, from_hz, to_hz):
    return librosa.resample(y, orig_sr=from_hz, target_sr=to_hz)


def stretch(y, rate, dtype=np.float64):
    """librosa's phase vocoder on samples of this type; float64 is the exact one."""
    return librosa.effects.time_stretch(y.astype(dtype), rate=rate)


def fit(y, n):
    return librosa.util.fix_length(y, size=n)


def pitch_shift(y, semitones, dtype=np.float64):
    """librosa.effects.pitch_shift, resampling in float32 as it does for float32 audio."""
    rate = 2.0 ** (-float(semitones) / 12)
    stretched = stretch(y, rate, dtype).astype(np.float32)
    return fit(resample(stretched, float(RATE) / rate, RATE), len(y))


def stretch_nearest(y, rate):
    """librosa on float32 samples, with angles that are the nearest float32.

    NumPy's own arctan2 is up to 4 ulp off and another one on machines with AVX-512, and librosa adds the angles up.
    """
    def angle(z):
        return np.arctan2(z.imag.astype(np.float64), z.real.astype(np.float64)).astype(np.float32)

    with mock.patch("numpy.angle", angle):
        return stretch(y, rate, np.float32)


def augmented(name, y, noise=None, **parameters):
    """audiomentations' class of this name, each parameter's range one value; noise is what its random numbers are."""
    ranges = {}
    for key, value in parameters.items():
        ranges["min_" + key] = ranges["max_" + key] = value
    if name in ("TimeStretch", "PitchShift"):
        ranges["method"] = "librosa_phase_vocoder"
    t = getattr(aug, name)(p=1.0, **ranges)
    with mock.patch("numpy.random.randn", lambda *shape: noise.astype(np.float64)), mock.patch(
        "numpy.random.normal", lambda mean, deviation, size: mean + deviation * noise.astype(np.float64)
    ):
        return t(samples=y, sample_rate=RATE)


def reverb(y, response):
    """audiomentations' ApplyImpulseResponse, which takes it from a file."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        soundfile.write(file.name, response, RATE, format="WAV", subtype="FLOAT")
        return aug.ApplyImpulseResponse(ir_path=file.name, p=1.0)(samples=y, sample_rate=RATE)


def whole(path, start_ms, ms):
    """The ancestor's calls: an audio file to decibels."""
    audio = AudioSegment.from_file(path)
    wav = io.BytesIO()
    audio[start_ms : start_ms + ms].export(wav, format="wav")
    wav.seek(0)
    y, _ = librosa.load(wav, sr=RATE)
    return db(y)


def ast(y):
    """ASTFeatureExtractor's own path without PyTorch, but for the padding, which it leaves to PyTorch."""
    ast = ASTFeatureExtractor()
    s = spectrogram(
        y, ast.window, frame_length=400, hop_length=160, fft_length=512, power=2.0, center=False,
        preemphasis=0.97, mel_filters=ast.mel_filters, log_mel="log", mel_floor=1.192092955078125e-07,
        remove_dc_offset=True,
    ).T[: ast.max_length]
    return ast.normalize(np.pad(s, ((0, ast.max_length - len(s)), (0, 0)))).astype(np.float32)


def preset(name, y):
    """(n_frames, n_mels) by the library that the preset is named after, on samples at its rate.

    torchaudio's numbers come from librosa set as torchaudio's own tests set it to compare the two.
    """
    if name == "librosa-0.8":
        s = librosa.feature.melspectrogram(y=y, sr=RATE, pad_mode="reflect")
        return librosa.power_to_db(s, ref=np.max).T
    if name == "torchaudio":
        s = librosa.feature.melspectrogram(
            y=y, sr=16000, n_fft=400, hop_length=200, htk=True, norm=None, pad_mode="reflect"
        )
        return librosa.power_to_db(s, ref=1.0, top_db=None).T
    if name == "kaldi-ast":
        return ast(y)
    assert name == "whisper"
    return WhisperFeatureExtractor()._np_extract_fbank_features(y[None], device="cpu")[0].T


PRESETS = ("librosa-0.8", "torchaudio", "kaldi-ast", "whisper")


def kind(name, y):
    """(n_frames, rows) by librosa's defaults."""
    if name == "mfcc":
        return librosa.feature.mfcc(y=y).T
    if name == "chroma":
        return librosa.feature.chroma_stft(y=y).T
    if name == "tempogram":
        return librosa.feature.tempogram(y=y).T
    assert name == "cqt"
    return np.abs(librosa.cqt(y)).T


def onsets_near(y):
    """Frames in whose tempogram window the level rises by 0.01 dB at least once."""
    strength = librosa.onset.onset_strength(y=y)
    return maximum_filter1d(strength, 384, mode="constant") > 0.01


KINDS = ("mfcc", "chroma", "tempogram", "cqt")
