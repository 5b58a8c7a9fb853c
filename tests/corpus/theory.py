"""Scales, chords and the eleven progressions that all works share.

Pitches are counted in scale degrees first: degree 0 is the tonic, 7 the tonic an octave up, -1 the
seventh below. Only pitch_of() turns a degree into a MIDI number.
"""

from dataclasses import dataclass

MAJOR, MINOR = 1, 0  # as in the catalogue's `mode` column
STEPS = {MAJOR: (0, 2, 4, 5, 7, 9, 11), MINOR: (0, 2, 3, 5, 7, 8, 10)}


@dataclass(frozen=True)
class Chord:
    root: int  # degree, 0..6
    raised: bool = False  # minor keys: the seventh degree is raised (a major V)

    def degrees(self):
        return (self.root, self.root + 2, self.root + 4)


def chords(text):
    """'0 4 5 3' to chords; '4#' is the major dominant of a minor key."""
    return tuple(Chord(int(word.rstrip("#")), word.endswith("#")) for word in text.split())


# One chord a bar. Few on purpose: harmony alone must not tell works apart.
PROGRESSIONS = {
    MAJOR: tuple(map(chords, (
        "0 4 5 3",
        "0 5 3 4",
        "5 3 0 4",
        "0 3 4 3",
        "0 1 3 4",
        "0 2 3 4",
    ))),
    MINOR: tuple(map(chords, (
        "0 6 5 6",
        "0 5 2 6",
        "0 3 6 2",
        "0 5 3 4#",
        "0 3 0 4#",
    ))),
}


def pitch_of(degree, tonic, mode, chord=None):
    """MIDI number of a degree above `tonic` (a MIDI number), under the chord that sounds."""
    octave, step = divmod(degree, 7)
    pitch = tonic + 12 * octave + STEPS[mode][step]
    if mode == MINOR and step == 6 and chord is not None and chord.raised:
        pitch += 1
    return pitch


def nearest_chord_degree(degree, chord):
    """The chord tone closest to a degree; the lower one of two."""
    tones = [t + 7 * octave for t in chord.degrees() for octave in range(-3, 4)]
    return min(tones, key=lambda t: (abs(t - degree), t))


def close_voicing(chord, tonic, mode, centre):
    """Three chord tones as MIDI numbers, each folded to lie nearest to `centre`."""
    pitches = []
    for degree in chord.degrees():
        pitch = pitch_of(degree, tonic, mode, chord)
        while pitch > centre + 6:
            pitch -= 12
        while pitch <= centre - 6:
            pitch += 12
        pitches.append(pitch)
    return sorted(pitches)


def bass_pitch(degree, chord, tonic, mode, low=31):
    """A degree in the bass octave that starts at `low` (31 is G1)."""
    pitch = pitch_of(degree, tonic, mode, chord)
    return low + (pitch - low) % 12
