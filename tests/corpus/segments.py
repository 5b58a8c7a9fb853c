"""Where two songs sound the same: segments.csv, to the second, from what was composed.

A row says that from start_s to end_s `track_id` plays what `other_id` plays from other_start_s to
other_end_s, there `semitones` higher (-5..+6) and `tempo_ratio` times as fast. `echo` is 1 where the
other song repeats the passage with small changes (A, A' and A'' of its form): found there, it is
found.
"""

import math

from version import Player

COLUMNS = ("kind", "track_id", "other_id", "start_s", "end_s", "other_start_s", "other_end_s",
           "semitones", "tempo_ratio", "echo")
SHORTEST_S = 4.0
ECHO_SHARE = 0.7  # of the passage's tones


def semitones(version, other):
    return (other.tonic - version.tonic + 5) % 12 - 5


def row(kind, ids, places, versions, echo):
    """None when less than SHORTEST_S sounds in both; `places`: (bar, bar, n_bars) of the previews."""
    (a, a_bar_s, a_end), (b, b_bar_s, b_end) = versions
    at, other_at, n_bars = places
    n_bars = min(n_bars, a_end / a_bar_s - at, b_end / b_bar_s - other_at)
    if n_bars * min(a_bar_s, b_bar_s) < SHORTEST_S:
        return None
    times = (at * a_bar_s, (at + n_bars) * a_bar_s,
             other_at * b_bar_s, (other_at + n_bars) * b_bar_s)
    return (kind, *ids, *(f"{t:.2f}" for t in times), semitones(a, b),
            f"{b.tempo_bpm / a.tempo_bpm:.4f}", echo)


class Heard:
    """A version's preview as bars of the form."""

    def __init__(self, track_id, version, seconds):
        player = Player("", version, seconds)
        self.track_id, self.version, self.end_s = track_id, version, seconds
        self.bar_s = player.bar_s()
        self.first = version.intro_bars
        self.n_bars = math.ceil(seconds / self.bar_s)
        self.form_bar = player.form_bar

    def facts(self):
        return self.version, self.bar_s, self.end_s


def version_rows(a, b):
    """Two versions of one work: every run of bars in which they play the same bars of the form."""
    def same(i, j):
        return (a.first <= i < a.n_bars and b.first <= j < b.n_bars
                and a.form_bar(i) == b.form_bar(j))

    rows = []
    for i in range(a.first, a.n_bars):
        for j in range(b.first, b.n_bars):
            if not same(i, j) or same(i - 1, j - 1):
                continue
            n_bars = 1
            while same(i + n_bars, j + n_bars):
                n_bars += 1
            rows.append(row("version", (a.track_id, b.track_id), (i, j, n_bars),
                            (a.facts(), b.facts()), 0))
    return [r for r in rows if r]


def echo_bars(work, first, n_bars):
    """Bars of the form from which the melody is nearly that of the bars from `first`."""
    beats = work.beats_per_bar

    def tones(start):
        return {(round(t.beat - start * beats, 3), t.degree) for t in work.melody
                if start * beats <= t.beat < (start + n_bars) * beats}

    ours, last = tones(first), len(work.harmony) - n_bars
    return [start for start in range(last + 1) if start != first
            and len(ours & tones(start)) >= ECHO_SHARE * max(len(ours), len(tones(start)))]


def loan_rows(borrower, loan, source):
    """A borrowed passage against one version of its source, wherever that plays it; its preview
    may begin in the middle of it."""
    work, rows = loan.source.work, []
    at = borrower.first + loan.to_bar
    starts = [(loan.from_bar, 0)] + [(s, 1) for s in echo_bars(work, loan.from_bar, loan.n_bars)]
    for start, echo in starts:
        for j in range(source.first, source.n_bars):
            late = source.form_bar(j) - start
            if late == 0 or (j == source.first and 0 < late < loan.n_bars):
                rows.append(row("borrowing", (borrower.track_id, source.track_id),
                                (at + late, j, loan.n_bars - late),
                                (borrower.facts(), source.facts()), echo))
    return [r for r in rows if r]
