"""The test signals: integers until the last division, so that C makes the same floats.

tests/unit/features/signals.h is the same in C; tests compare checksums.
"""
import numpy as np

N = 220500  # 10 s at 22,050 Hz


def _index():
    return np.arange(N, dtype=np.int64)


def _parabola(phase):
    """A sine's parabola from a phase in 2^16 parts of a turn: -2^28 .. 2^28."""
    x = (phase + 32768) % 65536 - 32768
    return x * (32768 - np.abs(x))


def _float(numerator, denominator):
    return (numerator.astype(np.float64) / denominator).astype(np.float32)


def q():
    i = _index()
    return _float((7 * i * i + 13 * i) % 65536 - 32768, 65536)


def noise():
    out = np.empty(N, dtype=np.int64)
    state = 12345
    for i in range(N):
        state = (1664525 * state + 1013904223) % 2**32
        out[i] = state // 256 - 2**23
    return _float(out, 2**23)


def tone():
    return _float(_parabola(_index() * 1308), 2**29)


def chirp():
    i = _index()
    return _float(_parabola(i * i // 16), 2**29)


def decay():
    i = _index()
    return _float(_parabola(i * 1308) // 2 ** (i // 9000), 2**29)


def square():
    return _float(np.where(_index() // 50 % 2 == 0, 1, -1), 1)


def impulse():
    return _float((_index() == 100000).astype(np.int64), 1)


def dc():
    return _float(np.ones(N, dtype=np.int64), 2)


def silence():
    return np.zeros(N, dtype=np.float32)


def quiet():
    i = _index()
    return _float((7 * i * i + 13 * i) % 65536 - 32768, 2**36)


def chord():
    """Three tones with a beat: what stretching and shifting are tried on."""
    i = _index()
    return _float(
        _parabola(i * 1308) + _parabola(i * 1648) + _parabola(i * 1960) // 2 ** (i // 4410 % 5), 2**31
    )


ALL = {
    f.__name__: f
    for f in (q, noise, tone, chirp, decay, square, impulse, dc, silence, quiet, chord)
}
