"""Borrowings and decoys: what makes a search for borrowed passages hard.

A *borrowing* is a new song that plays some bars of another work's melody, once: in its own key and
tempo, with its own instruments, and in every one of these bars over another chord. All else in it is
its own. A *decoy* is a new song that shares with a work what does not make a version: the chord
progressions, or key, tempo, metre, style and instruments.
"""

import math
from dataclasses import dataclass, replace

from draw import Draw
from theory import PROGRESSIONS, Chord
from version import Version, arrange
from work import BARS, BARS_PER_PHRASE, Tone, compose

FEWEST_BARS = 2
TRIES = 1000


class CannotBorrow(Exception):
    pass


@dataclass(frozen=True)
class Loan:
    """Bars of the form of both works; the melody of one sounds in the other."""

    source: Version
    from_bar: int
    to_bar: int
    n_bars: int


def whole_bars(version, seconds):
    """Bars of the preview that sound from begin to end."""
    return math.floor(seconds * version.tempo_bpm / 60 / version.work.beats_per_bar)


def once_bars(version, seconds):
    """First and last + 1 of the bars of the form that a preview from bar 0 plays whole, once."""
    played = whole_bars(version, seconds) - version.intro_bars
    begun_again = max(0, played + 1 - BARS)
    return min(begun_again, BARS), min(played, BARS)


def choose_bars(draw, source, borrower, seconds, limits_s):
    """(from_bar, to_bar, n_bars) or None: how long it may be decides the borrower's tempo. Four
    bars where they fit: a phrase."""
    bar_s = borrower.work.beats_per_bar * 60 / borrower.tempo_bpm
    low, high = once_bars(borrower, seconds)
    _, source_end = once_bars(source, seconds)
    fitting = [n for n in range(FEWEST_BARS, BARS + 1)
               if limits_s[0] <= n * bar_s <= limits_s[1] and n <= high - low]
    if BARS_PER_PHRASE in fitting:
        fitting = [BARS_PER_PHRASE]
    places = [(start, n) for n in fitting
              for start in range(0, BARS, BARS_PER_PHRASE) if start + n <= source_end]
    if not places:
        return None
    from_bar, n_bars = draw.pick(places)
    return from_bar, draw.integer(low, high - n_bars), n_bars


def bars_of(tones, first, n_bars, beats):
    return [t for t in tones if first * beats <= t.beat < (first + n_bars) * beats]


def graft(own, loan):
    """The borrower's work with the source's tones and no chord in common with them."""
    source, beats = loan.source.work, own.beats_per_bar
    low, high = loan.to_bar * beats, (loan.to_bar + loan.n_bars) * beats
    shift = (loan.to_bar - loan.from_bar) * beats
    melody = []
    for tone in own.melody:
        if tone.beat < low:  # a tone that reaches into the loan ends where it begins
            melody.append(replace(tone, length=min(tone.length, low - tone.beat)))
    for tone in bars_of(source.melody, loan.from_bar, loan.n_bars, beats):
        raised = source.harmony[int(tone.beat // beats)].raised
        length = min(tone.length, high - shift - tone.beat)
        melody.append(Tone(tone.beat + shift, length, tone.degree, tone.strong, raised))
    melody += [tone for tone in own.melody if tone.beat >= high]

    harmony = list(own.harmony)
    for i in range(loan.n_bars):
        theirs = source.harmony[loan.from_bar + i].root
        if harmony[loan.to_bar + i].root == theirs:
            harmony[loan.to_bar + i] = Chord((theirs + 5) % 7)  # a third below: two tones in common
    return replace(own, harmony=tuple(harmony), melody=tuple(melody))


def borrow(seed, index, source, seconds, limits_s):
    """(Version, Loan): song `index` of a seed, which borrows from `source`. Tries until key, tempo
    and style differ and a passage fits; always the same for the same arguments."""
    for attempt in range(TRIES):
        own_seed = f"{seed}/borrow/{attempt}"
        own = compose(own_seed, index, prefix="B", mode=source.work.mode,
                      beats_per_bar=source.work.beats_per_bar)
        ratio = own.tempo_bpm / source.tempo_bpm
        if own.tonic == source.tonic or abs(ratio - 1) < 0.04 or not 0.75 < ratio < 1.34:
            continue
        version = arrange(own_seed, own, 1)[0]
        if version.style_name == source.style_name or version.lead == source.lead:
            continue
        chosen = choose_bars(Draw(own_seed, "loan", index), source, version, seconds, limits_s)
        if chosen:
            loan = Loan(source, *chosen)
            return replace(version, work=graft(own, loan)), loan
    raise CannotBorrow(f"no passage of {limits_s[0]:g} to {limits_s[1]:g} s of "
                       f"{source.work.work_id} fits into a preview of {seconds} s")


# ---------------------------------------------------------------- decoys

def other_harmony(draw, work):
    fresh = [p for p in PROGRESSIONS[work.mode] if p not in (work.harmony[:4], work.harmony[8:12])]
    verse, bridge = draw.sample(fresh, 2)
    return verse + verse + bridge + verse


def decoy(seed, index, original):
    """(Version, kind): even ones share the harmony of `original`, odd ones its key, tempo and sound."""
    own_seed, model = f"{seed}/decoy", original.work
    if index % 2 == 0:
        own = compose(own_seed, index, prefix="D", mode=model.mode, harmony=model.harmony,
                      beats_per_bar=model.beats_per_bar)
        return arrange(own_seed, own, 1)[0], "decoy_harmony"
    harmony = other_harmony(Draw(own_seed, "harmony", index), model)
    own = compose(own_seed, index, prefix="D", mode=model.mode, harmony=harmony, tonic=model.tonic,
                  beats_per_bar=model.beats_per_bar, tempo_bpm=model.tempo_bpm)
    return replace(original, work=own), "decoy_key"
