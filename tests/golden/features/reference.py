"""What librosa and audiomentations themselves give, stage by stage; one function a stage."""
import librosa
import numpy as np
from audiomentations import ClippingDistortion, Shift

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


def shift(y, fraction):
    t = Shift(min_shift=fraction, max_shift=fraction, p=1.0)
    return t(samples=y, sample_rate=RATE)


def clipping(y, percent):
    t = ClippingDistortion(
        min_percentile_threshold=percent, max_percentile_threshold=percent, p=1.0
    )
    return t(samples=y, sample_rate=RATE)
