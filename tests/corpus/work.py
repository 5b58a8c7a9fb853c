"""A work: what its covers have in common.

Key, mode, tempo, metre, two chord progressions and a melody over the form A A' B A'', four bars
each. A phrase is built from a motif of two bars: its second half repeats the motif's rhythm, moved
to the next chords, and its end is bent into a cadence. Each work draws its own rhythm density,
syncopation and interval habits, so that melodies differ in more than their notes.
"""

from dataclasses import dataclass

from draw import Draw
from theory import MAJOR, MINOR, PROGRESSIONS, nearest_chord_degree

BARS_PER_PHRASE = 4
FORM = ("A", "A'", "B", "A''")
BARS = BARS_PER_PHRASE * len(FORM)


@dataclass(frozen=True)
class Tone:
    """A melody note: place and length in beats from the start of the form, pitch as a degree."""

    beat: float
    length: float
    degree: int
    strong: bool  # on a beat that carries the line; ornaments leave these alone
    raised: bool | None = None  # raised seventh of minor; None: as the chord of its bar has it


@dataclass(frozen=True)
class Work:
    work_id: str
    index: int
    tonic: int  # pitch class, 0 is C
    mode: int
    tempo_bpm: float
    beats_per_bar: int
    harmony: tuple  # one Chord for each of BARS bars
    melody: tuple  # Tones in order


@dataclass(frozen=True)
class Habits:
    """How this work's tune likes to move."""

    density: float  # of onsets on off-beats
    syncopation: float  # chance that a strong beat is left empty
    steps: tuple  # (interval in degrees, weight)
    centre: int  # degree around which it hovers
    sixteenths: float


def draw_habits(draw):
    raw = [(step, base * draw.between(0.3, 1.7)) for step, base in (
        (-4, 0.04), (-3, 0.06), (-2, 0.16), (-1, 0.26), (0, 0.14),
        (1, 0.26), (2, 0.16), (3, 0.06), (4, 0.05))]
    return Habits(
        density=draw.between(0.25, 0.75),
        syncopation=draw.between(0.0, 0.3),
        steps=tuple(raw),
        centre=draw.integer(1, 5),
        sixteenths=draw.pick((0.0, 0.0, 0.1, 0.2)),
    )


def draw_rhythm(draw, habits, beats):
    """Onsets of one bar in beats. The first is never later than beat 1, so bars stay apart."""
    onsets = []
    for beat in range(beats):
        if beat == 0 or not draw.chance(habits.syncopation + (0.15 if beat % 2 else 0)):
            onsets.append(float(beat))
        if draw.chance(habits.density):
            onsets.append(beat + 0.5)
        if draw.chance(habits.sixteenths):
            onsets.append(beat + draw.pick((0.25, 0.75)))
    onsets = sorted(set(onsets))
    return onsets if len(onsets) > 1 else [0.0, float(beats // 2)]


def draw_contour(draw, habits, n):
    """Degrees relative to the motif's first note; a leap is answered by a step back."""
    contour = [0]
    step = 0
    for _ in range(n - 1):
        if abs(step) > 2:
            step = -1 if step > 0 else 1
        else:
            step = draw.pick_weighted(habits.steps)
        if abs(contour[-1] + step) > 5:
            step = -step
        contour.append(contour[-1] + step)
    return contour


@dataclass(frozen=True)
class Motif:
    rhythm: tuple  # onsets over two bars, in beats
    contour: tuple


def draw_motif(draw, habits, beats):
    first = draw_rhythm(draw, habits, beats)
    second = draw_rhythm(draw, habits, beats)
    rhythm = first + [beats + onset for onset in second]
    return Motif(tuple(rhythm), tuple(draw_contour(draw, habits, len(rhythm))))


def place_motif(motif, start_degree, chords, beats, span_beats):
    """The motif over two bars: strong notes are bent to the chord. Gives (beat, length, degree)."""
    notes = []
    for i, (onset, rise) in enumerate(zip(motif.rhythm, motif.contour)):
        end = motif.rhythm[i + 1] if i + 1 < len(motif.rhythm) else span_beats
        chord = chords[int(onset // beats)]
        degree = start_degree + rise
        strong = onset % beats in (0.0, 2.0)
        if strong:
            degree = nearest_chord_degree(degree, chord)
        notes.append(Tone(onset, end - onset, max(-3, min(11, degree)), strong))
    return notes


def build_phrase(motif, habits, chords, beats, ending, lift):
    """Four bars: the motif, its repeat over the next chords, and a cadence on `ending`."""
    start = nearest_chord_degree(habits.centre + lift, chords[0])
    second = nearest_chord_degree(start + (chords[2].root - chords[0].root + 3) % 7 - 3, chords[2])
    span = 2.0 * beats
    tones = place_motif(motif, start, chords[:2], beats, span)
    answer = place_motif(motif, second, chords[2:], beats, span)
    cadence_from = span - beats + (beats - 2 if beats > 3 else beats - 1)
    kept = [t for t in answer if t.beat < cadence_from]
    final = nearest_chord_degree(ending, chords[3])
    if kept:
        last = kept[-1]
        kept[-1] = Tone(last.beat, cadence_from - last.beat, last.degree, last.strong)
    kept.append(Tone(cadence_from, span - cadence_from - 0.25, final, True))
    return tones + [Tone(t.beat + span, t.length, t.degree, t.strong) for t in kept]


def compose_melody(draw, habits, harmony, beats):
    verse = draw_motif(draw, habits, beats)
    bridge = draw_motif(draw, habits, beats)
    endings = {"A": draw.pick((1, 4)), "A'": draw.pick((0, 2)), "B": draw.pick((4, 6)), "A''": 0}
    tones = []
    for i, section in enumerate(FORM):
        first_bar = i * BARS_PER_PHRASE
        chords = harmony[first_bar:first_bar + BARS_PER_PHRASE]
        motif, lift = (bridge, draw.integer(1, 3)) if section == "B" else (verse, 0)
        phrase = build_phrase(motif, habits, chords, beats, endings[section], lift)
        offset = first_bar * beats
        tones += [Tone(t.beat + offset, t.length, t.degree, t.strong) for t in phrase]
    return tuple(tones)


def compose(seed, index, prefix="W", **given):
    """The work number `index` of a seed. `given` fixes fields of Work that are drawn otherwise;
    who fixes `mode` without `harmony` gets progressions of that mode."""
    draw = Draw(seed, "work", index)
    mode = draw.pick((MAJOR, MAJOR, MAJOR, MINOR, MINOR))
    mode = given.get("mode", mode)
    beats = 3 if draw.chance(0.15) else 4
    beats = given.get("beats_per_bar", beats)
    verse, bridge = draw.sample(PROGRESSIONS[mode], 2)
    harmony = given.get("harmony", verse + verse + bridge + verse)
    tonic = draw.integer(0, 11)
    tempo_bpm = round(draw.between(84, 138), 1)
    habits = draw_habits(Draw(seed, "habits", index))
    return Work(
        work_id=f"{prefix}{index:05d}",
        index=index,
        tonic=given.get("tonic", tonic),
        mode=mode,
        tempo_bpm=given.get("tempo_bpm", tempo_bpm),
        beats_per_bar=beats,
        harmony=harmony,
        melody=compose_melody(Draw(seed, "melody", index), habits, harmony, beats),
    )
