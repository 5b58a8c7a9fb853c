"""The same recording again: shifted in pitch, tempo or both, whole or cut to 5 s, encoded anew.

They are queries, not rows of the catalogue: copies/NAME.mp3 and copies.csv, which says what each is
a copy of, where it was cut, and by how much it was shifted. Every fourth is not shifted at all.
"""

import os
from dataclasses import dataclass

import catalog
from draw import Draw
from render import RATE_HZ, render_copy

COLUMNS = ("file", "track_id", "change", "pitch_ratio", "tempo_ratio", "start_s", "seconds")
CHANGES = ("speed", "pitch", "tempo", "none")  # speed: a tape that runs faster changes both
SHIFT_MAX = 0.08
CUT_S = 5.0
BITRATES = ("48k", "64k", "128k")


@dataclass(frozen=True)
class Copy:
    name: str
    track: object
    change: str
    pitch: float
    tempo: float
    start_s: float
    seconds: float  # of the copy
    bitrate: str


def draw_copy(args, index, tracks):
    draw = Draw(args.seed, "copy", index)
    change = CHANGES[index % len(CHANGES)]
    size = draw.between(0.02, SHIFT_MAX)
    ratio = round(1 + size if draw.chance(0.5) else 1 - size, 4)
    pitch = ratio if change in ("speed", "pitch") else 1.0
    tempo = ratio if change in ("speed", "tempo") else 1.0
    cut = index // len(CHANGES) % 2 == 1
    start_s = round(draw.between(0, args.seconds - CUT_S * tempo - 1), 2) if cut else 0.0
    seconds = CUT_S if cut else round(args.seconds / tempo, 2)
    return Copy(f"copy{index:05d}.mp3", draw.pick(tracks), change, pitch, tempo, start_s, seconds,
                draw.pick(BITRATES))


def audio_filter(copy):
    """Trim, play faster or slower (pitch and tempo), then stretch time back where only one moves."""
    steps = [f"aresample={RATE_HZ}", f"atrim=start={copy.start_s:.2f}", "asetpts=PTS-STARTPTS"]
    if copy.pitch != 1.0:
        steps += [f"asetrate={round(RATE_HZ * copy.pitch)}", f"aresample={RATE_HZ}"]
    stretch = copy.tempo / copy.pitch
    if abs(stretch - 1) > 1e-6:
        steps.append(f"atempo={stretch:.6f}")
    return ",".join(steps)


def make(args, tracks, write_bytes):
    folder = os.path.join(args.out, "copies")
    os.makedirs(folder, exist_ok=True)
    drawn = [draw_copy(args, i, tracks) for i in range(args.copies)]
    rows = [(c.name, c.track.track_id, c.change, c.pitch, c.tempo, f"{c.start_s:.2f}",
             f"{c.seconds:.2f}") for c in drawn]
    table = catalog.csv_text(COLUMNS, rows).encode()
    path = os.path.join(args.out, "copies.csv")
    for copy in drawn:
        target = os.path.join(folder, copy.name)
        source = copy.track.mp3_path
        if args.no_audio:
            continue
        if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
            render_copy(source, audio_filter(copy), copy.seconds, copy.bitrate, target)
    write_bytes(path, table)
