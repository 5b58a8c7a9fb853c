"""A version of a work: everything a cover may change, and the score that comes of it.

Version 0 is the original. A cover has another key (-5..+6 semitones), another tempo (x0.84-1.20),
another style with its own instruments, accompaniment and drums, its own ornaments and octave of the
melody, and begins elsewhere in the form. What stays is the work: melody and harmony.
"""

import math
from dataclasses import dataclass

from accompany import BASSES, COMPS, drum_bar
from draw import Draw
from live import Live
from midi import DRUM_CHANNEL, Note, Part, Score
from styles import STYLES, Style
from theory import Chord, bass_pitch, close_voicing, pitch_of
from work import BARS, BARS_PER_PHRASE, Work

TRANSPOSE_MIN, TRANSPOSE_MAX = -5, 6
TEMPO_MIN, TEMPO_MAX = 0.84, 1.20
MELODY_TONIC = 58  # lowest MIDI number that degree 0 of the melody may have
COMP_CENTRE = 57
TAIL_BEATS = 1.0  # played beyond the end, so that the preview does not stop on a gap


@dataclass(frozen=True)
class Version:
    work: Work
    number: int
    style_name: str
    style: Style
    transpose: int
    tempo_ratio: float
    octave: int  # of the melody, in semitones: -12, 0, 12
    first_bar: int
    intro_bars: int
    lead: int
    comp: int
    pad: int  # -1: none
    bass: int
    pattern: str
    bass_line: str
    drums: str
    ornaments: float  # chance that a tone is decorated
    live: Live | None = None  # recorded on a stage; None: in a studio

    @property
    def tempo_bpm(self):
        return self.work.tempo_bpm * self.tempo_ratio

    @property
    def tonic(self):
        return (self.work.tonic + self.transpose) % 12


def style_order(seed, work_index):
    """Each work shuffles the styles once, so that its versions differ in style."""
    return Draw(seed, "styles", work_index).sample(sorted(STYLES), len(STYLES))


def other_than(draw, items, used):
    """An item that no earlier version of the work uses, where there is one."""
    fresh = [i for i in items if i not in used]
    return draw.pick(fresh or list(items))


def arrange(seed, work, n_versions):
    """Versions 0..n_versions-1; each avoids the keys and instruments of those before it."""
    versions = []
    for number in range(n_versions):
        versions.append(arrange_one(seed, work, number, versions))
    return versions


def arrange_one(seed, work, number, earlier):
    draw = Draw(seed, "version", work.index, number)
    styles = style_order(seed, work.index)
    style_name = styles[number % len(styles)]
    style = STYLES[style_name]
    original = number == 0
    transposes = [t for t in range(TRANSPOSE_MIN, TRANSPOSE_MAX + 1) if t != 0]
    return Version(
        work=work,
        number=number,
        style_name=style_name,
        style=style,
        transpose=0 if original else other_than(draw, transposes, [v.transpose for v in earlier]),
        tempo_ratio=1.0 if original else draw_tempo_ratio(draw),
        octave=0 if original else draw.pick((-12, 0, 0, 12)),
        first_bar=0 if original else draw.integer(0, BARS // 2 - 1),
        intro_bars=draw.pick((0, 0, 1)),
        lead=other_than(draw, style.leads, [v.lead for v in earlier]),
        comp=other_than(draw, style.comps, [v.comp for v in earlier]),
        pad=other_than(draw, style.pads, [v.pad for v in earlier]) if style.pads else -1,
        bass=other_than(draw, style.basses, [v.bass for v in earlier]),
        pattern=draw.pick(style.patterns),
        bass_line=draw.pick(style.bass_lines),
        drums=draw.pick(style.drums),
        ornaments=0.03 if original else draw.between(0.0, 0.25),
    )


def draw_tempo_ratio(draw):
    """Between 0.84 and 1.20 but not within 4 % of the original."""
    while True:
        ratio = round(draw.between(TEMPO_MIN, TEMPO_MAX), 3)
        if abs(ratio - 1.0) >= 0.04:
            return ratio


# ---------------------------------------------------------------- from version to score

def swing_beat(beat, amount):
    """Moves the second eighth of a beat from 1/2 towards 2/3, the rest in proportion."""
    whole = math.floor(beat)
    place = beat - whole
    middle = 0.5 + amount / 6
    bent = place * middle / 0.5 if place < 0.5 else middle + (place - 0.5) * (1 - middle) / 0.5
    return whole + bent


class Player:
    """Lays out the bars of one version, from its first to the one in which `seconds` end."""

    def __init__(self, seed, version, seconds):
        self.version = version
        self.work = version.work
        self.draw = Draw(seed, "play", version.work.index, version.number)
        self.beats = version.work.beats_per_bar
        self.end_beat = seconds * version.tempo_bpm / 60 + TAIL_BEATS
        self.n_bars = math.ceil(self.end_beat / self.beats)
        self.tonic = version.tonic

    def form_bar(self, bar):
        """Which bar of the form sounds in this bar of the preview."""
        return (self.version.first_bar + bar - self.version.intro_bars) % BARS

    def bar_s(self):
        """Seconds that a bar takes."""
        return self.beats * 60 / self.version.tempo_bpm

    def chord(self, bar):
        return self.work.harmony[self.form_bar(bar)]

    def put(self, part, notes, offset, loudness):
        """Adds one bar's notes with swing and a little human unevenness."""
        for n in notes:
            start = swing_beat(offset + n.start, self.version.style.swing)
            start = max(0.0, start + self.draw.between(-0.008, 0.012))
            if start < self.end_beat:
                length = min(n.length, self.end_beat - start)
                touch = self.draw.between(0.93, 1.07)
                part.add(start, length, n.pitch, loudness * n.velocity * touch)

    def melody_pitch(self, degree, bar, raised=None):
        tonic = MELODY_TONIC + (self.tonic - MELODY_TONIC) % 12
        chord = self.chord(bar) if raised is None else Chord(0, raised)
        return pitch_of(degree, tonic, self.work.mode, chord) + self.version.octave

    def melody(self):
        part = Part("lead", 0, self.version.lead, volume=115, pan=64)
        tones = self.work.melody
        for bar in range(self.version.intro_bars, self.n_bars):
            low = self.form_bar(bar) * self.beats
            for tone in tones:
                if low <= tone.beat < low + self.beats:
                    self.put(part, self.decorate(tone, tone.beat - low, bar), bar * self.beats, 108)
        return part

    def decorate(self, tone, place, bar):
        """The tone itself, or with a grace note, a turn, a repetition; rarely left out."""
        pitch = self.melody_pitch(tone.degree, bar, tone.raised)
        plain = [Note(place, tone.length * 0.95, pitch, 1.0 if tone.strong else 0.88)]
        if not self.draw.chance(self.version.ornaments):
            return plain
        upper = self.melody_pitch(tone.degree + 1, bar, tone.raised)
        kind = self.draw.pick(("grace", "turn", "repeat", "rest"))
        if kind == "grace":
            return [Note(place, 0.12, upper, 0.8),
                    Note(place + 0.12, tone.length - 0.15, pitch, 1.0)]
        if kind == "turn" and tone.length >= 1.0:
            return [Note(place, tone.length - 0.5, pitch, 1.0),
                    Note(place + tone.length - 0.5, 0.22, upper, 0.85),
                    Note(place + tone.length - 0.25, 0.22, pitch, 0.85)]
        if kind == "repeat" and tone.length >= 0.5:
            half = tone.length / 2
            return [Note(place, half * 0.9, pitch, 1.0), Note(place + half, half * 0.9, pitch, 0.8)]
        if kind == "rest" and not tone.strong:
            return []
        return plain

    def accompaniment(self):
        comp = Part("comp", 1, self.version.comp, volume=86, pan=44)
        pad = Part("pad", 2, max(self.version.pad, 0), volume=64, pan=80)
        pattern = COMPS[self.version.pattern]
        for bar in range(self.n_bars):
            pitches = close_voicing(self.chord(bar), 60 + self.tonic, self.work.mode, COMP_CENTRE)
            self.put(comp, pattern(pitches, self.beats, self.draw), bar * self.beats, 90)
            if self.version.pad >= 0:
                held = COMPS["block"]([p + 12 for p in pitches], self.beats, self.draw)
                self.put(pad, held, bar * self.beats, 80)
        return [comp, pad]

    def bass(self):
        part = Part("bass", 3, self.version.bass, volume=100, pan=64)
        line = BASSES[self.version.bass_line]
        for bar in range(self.n_bars):
            chord, following = self.chord(bar), self.chord(bar + 1)
            tonic, mode = 36 + self.tonic, self.work.mode
            root = bass_pitch(chord.root, chord, tonic, mode)
            fifth = bass_pitch(chord.root + 4, chord, tonic, mode)
            next_root = bass_pitch(following.root, following, tonic, mode)
            notes = line(root, fifth, next_root, self.beats, self.draw)
            self.put(part, notes, bar * self.beats, 100)
        return part

    def drums(self):
        part = Part("drums", DRUM_CHANNEL, 0, volume=92, pan=64)
        for bar in range(self.n_bars):
            fill = (self.form_bar(bar) + 1) % BARS_PER_PHRASE == 0 and self.draw.chance(0.6)
            notes = drum_bar(self.version.drums, self.beats, self.draw, fill)
            self.put(part, notes, bar * self.beats, 70 + 40 * self.version.style.energy)
        return part


def play(seed, version, seconds):
    """The score of a version's preview."""
    player = Player(seed, version, seconds)
    parts = [player.melody(), *player.accompaniment(), player.bass(), player.drums()]
    cents = version.live.cents if version.live else 0
    return Score(version.tempo_bpm, version.work.beats_per_bar, parts, cents)
