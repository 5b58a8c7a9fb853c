"""A take on a stage: the room's echo, the audience's noise, an instrument tuning that is not 440 Hz.

What a live recording adds, as numbers, and the FFmpeg filter that adds it. Draws are by seed; the
same numbers give the same samples.
"""

from dataclasses import dataclass

from draw import Draw

# Delays of a hall's first reflections in ms and their strength, before the room's size scales them.
REFLECTIONS = ((29, 0.46), (47, 0.40), (73, 0.34), (109, 0.27), (163, 0.20), (241, 0.13))


@dataclass(frozen=True)
class Live:
    room: float  # 0.6 a club .. 1.6 a hall; scales the delays
    noise_db: float  # RMS of the audience against full scale; the band is near -19 dB
    cents: int  # tuning of the band
    seed: int  # of the noise


def draw_live(*key):
    draw = Draw(*key, "live")
    return Live(
        room=round(draw.between(0.6, 1.6), 2),
        noise_db=round(draw.between(-42, -30), 1),
        cents=draw.integer(-35, 35),
        seed=draw.integer(1, 2**31 - 1),
    )


def noise_source(live, rate_hz):
    """Input options of FFmpeg for the audience."""
    amplitude = 10 ** (live.noise_db / 20)
    return ["-f", "lavfi", "-i",
            f"anoisesrc=r={rate_hz}:color=pink:amplitude={amplitude:.5f}:seed={live.seed}"]


def filter_graph(live, tail):
    """Input 0 the band, input 1 the audience; `tail` is what follows the mix."""
    delays = "|".join(f"{ms * live.room:.1f}" for ms, _ in REFLECTIONS)
    decays = "|".join(f"{weight:.2f}" for _, weight in REFLECTIONS)
    return (f"[0]apad,aecho=0.8:0.75:{delays}:{decays},highpass=f=70,lowpass=f=9000[band];"
            "[1]aformat=channel_layouts=stereo,bandpass=f=900:w=1.4:t=o,tremolo=f=0.3:d=0.5,"
            "volume=28dB[crowd];"
            f"[band][crowd]amix=inputs=2:duration=shortest:normalize=0,alimiter=limit=0.95:level=disabled,{tail}")
