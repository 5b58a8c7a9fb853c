"""Accompaniment, bass and drum patterns.

Each pattern plays one bar and knows nothing of the others. Positions are beats within the bar;
velocities are relative to 1.0 and scaled by the caller. Patterns adapt to three or four beats.
"""

from midi import Note


def bar_note(start, length, pitch, weight):
    return Note(start, length, pitch, weight)


# ---------------------------------------------------------------- chords
# comp(pitches, beats, draw): pitches are three sorted MIDI numbers.

def block(pitches, beats, draw):
    return [bar_note(0, beats * 0.97, p, 0.8) for p in pitches]


def hits(pitches, places, length, weight=0.8):
    return [bar_note(b, length, p, weight) for b in places for p in pitches]


def eighths(pitches, beats, draw):
    return [bar_note(i / 2, 0.4, p, 0.85 if i % 2 == 0 else 0.6)
            for i in range(beats * 2) for p in pitches]


def power(pitches, beats, draw):
    root = pitches[0] - 12
    return [bar_note(i / 2, 0.45, p, 0.9 if i % 4 == 0 else 0.7)
            for i in range(beats * 2) for p in (root, root + 7, root + 12)]


def stabs(pitches, beats, draw):
    return hits(pitches, [b for b in (0, 1.5, 2.5) if b < beats], 0.3, 0.8)


def charleston(pitches, beats, draw):
    return hits(pitches, [0, 1.5], 0.4, 0.75)


def offbeat(pitches, beats, draw):
    return hits(pitches, [b + 0.5 for b in range(beats)], 0.25, 0.85)


def strum(pitches, beats, draw):
    wide = pitches + [pitches[0] + 12]
    strokes = ((0, 0.9), (1, 0.7), (1.5, 0.5), (2, 0.85), (2.5, 0.5), (3, 0.7), (3.5, 0.5))
    notes = []
    for place, weight in strokes:
        if place < beats:
            order = wide if place % 1 == 0 else wide[::-1]
            notes += [bar_note(place + 0.02 * i, 0.45, p, weight) for i, p in enumerate(order)]
    return notes


def boom_chick(pitches, beats, draw):
    chicks = [b for b in range(beats) if b % 2 == 1 or (beats == 3 and b > 0)]
    return hits(pitches, chicks, 0.4, 0.75)


def sequence(pitches, order, step, beats):
    n = round(beats / step)
    ladder = pitches + [pitches[0] + 12, pitches[1] + 12]
    return [bar_note(i * step, step * 1.6, ladder[order[i % len(order)]], 0.65 if i % 4 else 0.8)
            for i in range(n)]


def arpeggio(pitches, beats, draw):
    return sequence(pitches, (0, 1, 2, 3, 4, 3, 2, 1), 0.5, beats)


def arpeggio16(pitches, beats, draw):
    return sequence(pitches, (0, 2, 1, 3), 0.25, beats)


def alberti(pitches, beats, draw):
    return sequence(pitches, (0, 2, 1, 2), 0.5, beats)


def picking(pitches, beats, draw):
    return sequence(pitches, (0, 2, 3, 1, 2, 3, 1, 2), 0.5, beats)


def bossa(pitches, beats, draw):
    return hits(pitches, [b for b in (0, 1, 2.5, 3.5) if b < beats], 0.4, 0.7)


def montuno(pitches, beats, draw):
    places = [b for b in (0, 0.5, 1.5, 2.5, 3.5) if b < beats]
    return [bar_note(b, 0.4, p, 0.8) for i, b in enumerate(places)
            for p in ((pitches[0], pitches[0] + 12) if i % 2 == 0 else pitches[1:])]


COMPS = {f.__name__: f for f in (block, eighths, power, stabs, charleston, offbeat, strum,
                                 boom_chick, arpeggio, arpeggio16, alberti, picking, bossa,
                                 montuno)}


# ---------------------------------------------------------------- bass
# bass(root, fifth, next_root, beats, draw): MIDI numbers.

def long(root, fifth, next_root, beats, draw):
    return [bar_note(0, beats * 0.95, root, 0.85)]


def root_fifth(root, fifth, next_root, beats, draw):
    return [bar_note(0, 1.3, root, 0.9), bar_note(2, beats - 2.1, fifth, 0.8)]


def bass_eighths(root, fifth, next_root, beats, draw):
    return [bar_note(i / 2, 0.42, root, 0.9 if i % 2 == 0 else 0.75) for i in range(beats * 2)]


def octaves(root, fifth, next_root, beats, draw):
    return [bar_note(i / 2, 0.35, root + 12 * (i % 2), 0.85) for i in range(beats * 2)]


def bass_offbeat(root, fifth, next_root, beats, draw):
    return [bar_note(b + 0.5, 0.4, root, 0.9) for b in range(beats)]


def walking(root, fifth, next_root, beats, draw):
    approach = next_root + draw.pick((-2, -1, 1, 2))
    middle = [fifth, draw.pick((root + 12, fifth, root + 4, root + 3))][:beats - 2]
    line = [root, *middle, approach]
    return [bar_note(i, 0.9, p, 0.85) for i, p in enumerate(line[:beats])]


def tresillo(root, fifth, next_root, beats, draw):
    return [bar_note(b, 0.6, p, 0.85) for b, p in ((0, root), (1.5, fifth), (3, root)) if b < beats]


def dub(root, fifth, next_root, beats, draw):
    places = ((0, root), (1, root), (1.5, fifth), (2.5, root + 12), (3, fifth))
    return [bar_note(b, 0.45, p, 0.95) for b, p in places if b < beats]


BASSES = {"long": long, "root_fifth": root_fifth, "eighths": bass_eighths, "octaves": octaves,
          "offbeat": bass_offbeat, "walking": walking, "tresillo": tresillo, "dub": dub}


# ---------------------------------------------------------------- drums
# One bar as text: a voice and its steps, 16 in a bar of four, 12 in a bar of three (cut).
KICK, STICK, SNARE, CLOSED, OPEN, RIDE, CRASH = 36, 37, 38, 42, 46, 51, 49
SHAKER, CONGA_HIGH, CONGA_LOW, CLAVES, BRUSH = 70, 62, 64, 75, 40

DRUMS = {
    "none": {},
    "rock": {KICK: "x.....x.x.......", SNARE: "....x.......x...", CLOSED: "x.x.x.x.x.x.x.x."},
    "half_time": {KICK: "x.....x.....x...", SNARE: "........x.......", CLOSED: "x.o.x.o.x.o.x.o."},
    "ballad": {KICK: "x.........x.....", STICK: "....x.......x...", CLOSED: "x...o...x...o..."},
    "double_kick": {KICK: "x.xxx.xxx.xxx.xx", SNARE: "....x.......x...", RIDE: "x...x...x...x..."},
    "four_floor": {KICK: "x...x...x...x...", SNARE: "....x.......x...", OPEN: "..x...x...x...x.",
                   CLOSED: "oo.ooo.ooo.ooo.o"},
    "breakbeat": {KICK: "x.x.......x..x..", SNARE: "....x..o.o..x...", CLOSED: "x.x.x.x.x.x.x.x."},
    "shaker": {SHAKER: "xooxxooxxooxxoox"},
    "train": {KICK: "x.......x.......", SNARE: "oox.oox.oox.oox."},
    "ride": {RIDE: "x...x..ox...x..o", CLOSED: "....x.......x...", KICK: "o.......o......."},
    "brushes": {BRUSH: "o...x..oo...x..o", RIDE: "o...o...o...o..."},
    "shuffle": {KICK: "x.......x..o....", SNARE: "....x.......x...", CLOSED: "x.o.x.o.x.o.x.o."},
    "bossa": {KICK: "x.....xox.....xo", STICK: "x..x..x...x..x..", CLOSED: "oooooooooooooooo"},
    "clave": {CLAVES: "x..x..x...x.x...", CONGA_HIGH: "x...x.xxx...x.xx",
              CONGA_LOW: "......oo......xx", KICK: "x.......x......."},
    "one_drop": {KICK: "........x.......", STICK: "........x.......", CLOSED: "x.x.x.xox.x.x.x."},
    "hand_drums": {CONGA_LOW: "x.....x...x.....", CONGA_HIGH: "..x.x...x.x.x.xx",
                   SHAKER: "o.o.o.o.o.o.o.o."},
}


def drum_bar(name, beats, draw, fill):
    """Notes of one bar; a fill replaces the last beat."""
    steps = beats * 4
    notes = []
    for voice, row in sorted(DRUMS[name].items()):
        for i in range(steps):
            mark = row[i % len(row)]
            if mark != "." and not (fill and i >= steps - 4 and voice in (SNARE, KICK)):
                notes.append(bar_note(i / 4, 0.2, voice, 0.9 if mark == "x" else 0.5))
    if fill and SNARE in DRUMS[name]:
        for i, voice in enumerate((SNARE, draw.pick((SNARE, 48)), 45, 43)):
            notes.append(bar_note(beats - 1 + i / 4, 0.2, voice, 0.75))
    return notes
