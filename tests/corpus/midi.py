"""Standard MIDI files, format 1: notes in, bytes out.

A Score is a list of parts, each on its own channel with its own program; times and lengths are in
beats (quarter notes) as floats and are rounded to ticks once, here. The same score always gives the
same bytes.
"""

import struct
from dataclasses import dataclass, field

TICKS_PER_BEAT = 480
DRUM_CHANNEL = 9


@dataclass
class Note:
    start: float  # beats
    length: float  # beats
    pitch: int  # MIDI number, 60 is middle C
    velocity: int  # 1..127


@dataclass
class Part:
    name: str
    channel: int
    program: int  # General MIDI, 0..127
    volume: int = 100  # controller 7
    pan: int = 64  # controller 10, 64 is the middle
    notes: list = field(default_factory=list)

    def add(self, start, length, pitch, velocity):
        self.notes.append(Note(start, length, pitch, max(1, min(127, int(velocity)))))


@dataclass
class Score:
    tempo_bpm: float  # quarter notes a minute
    beats_per_bar: int
    parts: list = field(default_factory=list)
    cents: float = 0.0  # the whole band's tuning against A4 = 440 Hz, within one semitone


def var_length(value):
    """A MIDI variable-length quantity: 7 bits a byte, high bit on all but the last."""
    out = [value & 0x7F]
    value >>= 7
    while value:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    return bytes(reversed(out))


def track_chunk(events):
    """events: (tick, order, bytes); order decides among events of one tick."""
    body = bytearray()
    now = 0
    for tick, _, data in sorted(events):
        body += var_length(tick - now) + data
        now = tick
    body += b"\x00\xff\x2f\x00"
    return b"MTrk" + struct.pack(">I", len(body)) + bytes(body)


def meta(kind, data):
    return bytes((0xFF, kind)) + var_length(len(data)) + data


def conductor_track(score):
    microseconds = round(60e6 / score.tempo_bpm)
    return track_chunk([
        (0, 0, meta(0x51, microseconds.to_bytes(3, "big"))),
        (0, 1, meta(0x58, bytes((score.beats_per_bar, 2, 24, 8)))),
    ])


def fine_tuning(ch, cents):
    """Registered parameter 1: 14 bits, 8192 is in tune, 8192 steps a semitone."""
    value = max(0, min(16383, 8192 + round(cents * 81.92)))
    pairs = ((101, 0), (100, 1), (6, value >> 7), (38, value & 127))
    return [(0, 3 + i / 8, bytes((0xB0 | ch, *pair))) for i, pair in enumerate(pairs)]


def part_track(part, cents):
    ch = part.channel
    events = [
        (0, 0, meta(0x03, part.name.encode("ascii"))),
        (0, 1, bytes((0xC0 | ch, part.program))),
        (0, 2, bytes((0xB0 | ch, 7, part.volume))),
        (0, 3, bytes((0xB0 | ch, 10, part.pan))),
    ]
    if cents and ch != DRUM_CHANNEL:
        events += fine_tuning(ch, cents)
    for note in separate(part.notes):
        # Note-offs come first within a tick, so that a repeated pitch sounds again.
        events.append((note[0], 5, bytes((0x90 | ch, note[2], note[3]))))
        events.append((note[1], 4, bytes((0x80 | ch, note[2], 0))))
    return track_chunk(events)


def separate(notes):
    """(on, off, pitch, velocity) in ticks; a note ends where the next of its pitch begins."""
    by_pitch = {}
    for n in sorted(notes, key=lambda n: (n.start, n.pitch, -n.length)):
        on = max(0, round(n.start * TICKS_PER_BEAT))
        off = max(on + 1, round((n.start + n.length) * TICKS_PER_BEAT))
        row = by_pitch.setdefault(n.pitch, [])
        if row and row[-1][0] == on:
            continue
        if row and row[-1][1] > on:
            row[-1] = (row[-1][0], on, *row[-1][2:])
        row.append((on, off, n.pitch, n.velocity))
    return [note for pitch in sorted(by_pitch) for note in by_pitch[pitch]]


def score_bytes(score):
    tracks = [conductor_track(score)] + [part_track(p, score.cents) for p in score.parts if p.notes]
    return b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), TICKS_PER_BEAT) + b"".join(tracks)
