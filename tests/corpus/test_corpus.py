#!/usr/bin/env python3
"""Tests of the composer: MIDI bytes, determinism, what covers share and what they do not. TAP."""

import csv
import io
import os
import struct
import sys
from dataclasses import replace
from types import SimpleNamespace

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import catalog
import segments
import tap
from borrow import CannotBorrow, borrow, decoy
from copies import CHANGES, CUT_S, SHIFT_MAX, audio_filter, draw_copy
from draw import Draw
from live import draw_live, filter_graph
from midi import Note, Part, Score, score_bytes, separate, var_length
from styles import STYLES
from theory import MAJOR, MINOR, PROGRESSIONS, Chord, close_voicing, nearest_chord_degree, pitch_of
from version import TEMPO_MAX, TEMPO_MIN, TRANSPOSE_MAX, TRANSPOSE_MIN, Player, arrange, play
from work import BARS, compose

SEED = "1"
N_WORKS = 40


def corpus():
    works = [compose(SEED, i) for i in range(N_WORKS)]
    return [(work, arrange(SEED, work, 3)) for work in works]


CORPUS = corpus()


# ---------------------------------------------------------------- draws and MIDI

def test_draws_are_pinned():
    """These values are in every corpus ever composed; if they change, so does every seed."""
    draw = Draw("1", "x")
    assert [draw.integer(0, 99) for _ in range(5)] == [68, 75, 92, 12, 37]
    assert Draw("1", "x").word() != Draw("1", "y").word()


def test_draws_stay_in_range():
    draw = Draw("range")
    values = [draw.integer(-5, 6) for _ in range(5000)]
    assert set(values) == set(range(-5, 7))
    assert all(0.84 <= draw.between(0.84, 1.2) < 1.2 for _ in range(1000))
    assert sorted(draw.sample("abcdef", 6)) == list("abcdef")
    counts = [draw.pick_weighted([("a", 3), ("b", 1)]) for _ in range(4000)].count("a")
    assert 2800 < counts < 3200, counts


def test_var_length_as_in_the_midi_specification():
    for value, encoded in ((0, "00"), (0x40, "40"), (0x7F, "7f"), (0x80, "8100"), (0x2000, "c000"),
                           (0x3FFF, "ff7f"), (0x4000, "818000"), (0x0FFFFFFF, "ffffff7f")):
        assert var_length(value).hex() == encoded, value


def test_repeated_pitch_ends_before_it_sounds_again():
    notes = separate([Note(0, 2, 60, 90), Note(1, 1, 60, 80),
                      Note(0, 1, 64, 90), Note(0, 3, 64, 70)])
    assert notes == [(0, 480, 60, 90), (480, 960, 60, 80), (0, 1440, 64, 70)]


def read_midi(data):
    """(tempo, [(tick, channel, pitch, velocity)]), by a reading of the format of its own."""
    assert data[:4] == b"MThd" and struct.unpack(">IHHH", data[4:14])[1] == 1
    n_tracks, ticks = struct.unpack(">HH", data[10:14])
    assert ticks == 480
    at, notes, tempo = 14, [], 0
    for _ in range(n_tracks):
        assert data[at:at + 4] == b"MTrk"
        end = at + 8 + struct.unpack(">I", data[at + 4:at + 8])[0]
        at, now, sounding = at + 8, 0, set()
        while at < end:
            delta = 0
            while True:
                byte = data[at]
                at += 1
                delta = delta << 7 | byte & 0x7F
                if byte < 0x80:
                    break
            now += delta
            kind = data[at]
            if kind == 0xFF:
                if data[at + 1] == 0x51:
                    tempo = int.from_bytes(data[at + 3:at + 6], "big")
                at += 3 + data[at + 2]
            elif kind & 0xF0 == 0xC0:
                at += 2
            else:
                if kind & 0xF0 == 0x90:
                    assert data[at + 1] not in sounding, "note on while it sounds"
                    sounding.add(data[at + 1])
                    notes.append((now, kind & 15, data[at + 1], data[at + 2]))
                elif kind & 0xF0 == 0x80:
                    sounding.remove(data[at + 1])
                at += 3
        assert at == end and not sounding
    assert at == len(data)
    return tempo, notes


def test_scores_are_whole_midi_files():
    for _, versions in CORPUS[:15]:
        for version in versions:
            tempo, notes = read_midi(score_bytes(play(SEED, version, 30)))
            assert abs(60e6 / tempo - version.tempo_bpm) < 0.01
            assert {0, 1, 3} <= {channel for _, channel, _, _ in notes}
            assert all(20 <= pitch <= 108 and 1 <= velocity <= 127
                       for _, _, pitch, velocity in notes)
            last_s = max(tick for tick, *_ in notes) / 480 * tempo / 1e6
            assert 26 < last_s < 32, last_s


def test_same_seed_same_bytes():
    def everything(seed):
        work = compose(seed, 3)
        return [score_bytes(play(seed, v, 30)) for v in arrange(seed, work, 3)]

    assert everything("1") == everything("1")
    assert everything("1") != everything("2")


# ---------------------------------------------------------------- theory

def test_pitches_of_degrees():
    assert [pitch_of(d, 60, MAJOR) for d in range(-1, 8)] == [59, 60, 62, 64, 65, 67, 69, 71, 72]
    assert [pitch_of(d, 57, MINOR) for d in range(8)] == [57, 59, 60, 62, 64, 65, 67, 69]
    assert pitch_of(6, 57, MINOR, Chord(4, raised=True)) == 68


def test_chords():
    assert sum(map(len, PROGRESSIONS.values())) == 11
    assert nearest_chord_degree(3, Chord(0)) == 2
    assert nearest_chord_degree(8, Chord(0)) == 7
    assert close_voicing(Chord(0), 60, MAJOR, 57) == [52, 55, 60]
    assert {p % 12 for p in close_voicing(Chord(4, True), 57, MINOR, 57)} == {4, 8, 11}


# ---------------------------------------------------------------- works and covers

def intervals(work):
    return tuple(b.degree - a.degree for a, b in zip(work.melody, work.melody[1:]))


def test_works_have_melodies_of_their_own():
    seen = {(tuple(t.beat for t in w.melody), intervals(w)) for w, _ in CORPUS}
    assert len(seen) == N_WORKS
    assert len({w.harmony for w, _ in CORPUS}) < N_WORKS, "harmony alone must not tell works apart"
    for i, (a, _) in enumerate(CORPUS):
        for b, _ in CORPUS[:i]:
            same = sum(x.beat == y.beat and x.degree == y.degree
                       for x, y in zip(a.melody, b.melody))
            assert same < len(a.melody) / 2


def test_melody_fills_the_form():
    for work, _ in CORPUS:
        end = BARS * work.beats_per_bar
        assert work.melody[0].beat == 0.0
        assert all(a.beat + a.length <= b.beat + 1e-9 for a, b in zip(work.melody, work.melody[1:]))
        assert end - 3 <= work.melody[-1].beat + work.melody[-1].length <= end
        assert 40 <= len(work.melody) <= 220, len(work.melody)
        assert len({t.degree for t in work.melody}) >= 5


def test_covers_change_what_they_may():
    for _, (original, *covers) in CORPUS:
        assert original.transpose == 0 and original.tempo_ratio == 1.0
        styles = {original.style_name}
        for cover in covers:
            assert TRANSPOSE_MIN <= cover.transpose <= TRANSPOSE_MAX and cover.transpose != 0
            assert TEMPO_MIN <= cover.tempo_ratio <= TEMPO_MAX
            assert abs(cover.tempo_ratio - 1) >= 0.04
            assert cover.style_name not in styles
            styles.add(cover.style_name)
        assert len({v.transpose for v in (original, *covers)}) == 3


def sung(version):
    """Pitch of each tone of the melody that is heard, without ornaments and unevenness."""
    player = Player(SEED, version, 30)
    found = {}
    for bar in range(version.intro_bars, player.n_bars):
        low = player.form_bar(bar) * player.beats
        for tone in version.work.melody:
            if low <= tone.beat < low + player.beats:
                found[tone.beat] = player.melody_pitch(tone.degree, bar)
    return found


def test_covers_keep_the_melody():
    """Up to transposition: the difference to the original is one number for the whole melody."""
    for _, (original, *covers) in CORPUS:
        ours = sung(original)
        for cover in covers:
            theirs = sung(cover)
            both = set(ours) & set(theirs)
            assert len(both) > 0.3 * len(ours)
            shifts = {theirs[beat] - ours[beat] for beat in both}
            assert len(shifts) == 1, shifts
            assert (shifts.pop() - cover.transpose) % 12 == 0


def test_first_bars_differ():
    starts = {v.first_bar for _, versions in CORPUS for v in versions[1:]}
    assert len(starts) >= 6


# ---------------------------------------------------------------- borrowings and decoys

def borrowings(limits_s, seconds=30):
    found = []
    for i, (_, versions) in enumerate(CORPUS):
        try:
            found.append((versions, *borrow(SEED, i, versions[0], seconds, limits_s)))
        except CannotBorrow:
            pass
    return found


def heard_notes(version, low_s, high_s):
    """(seconds, pitch) of the melody as it is in the MIDI file, ornaments left out."""
    plain = replace(version, ornaments=0.0)
    tempo, notes = read_midi(score_bytes(play(SEED, plain, 30)))
    times = [(tick / 480 * tempo / 1e6, pitch) for tick, channel, pitch, _ in notes if channel == 0]
    return [(at, pitch) for at, pitch in sorted(times) if low_s - 0.05 <= at < high_s - 0.05]


def test_a_borrowing_sounds_where_segments_say():
    """The notes of the MIDI between the times of both songs: same rhythm, one transposition."""
    for versions, version, loan in borrowings((6, 13)):
        ours = segments.Heard("b", version, 30)
        rows = segments.loan_rows(ours, loan, segments.Heard("s", versions[0], 30))
        true_rows = [r for r in rows if r[-1] == 0]
        assert true_rows, "the source plays what is borrowed from it"
        start, end, other_start, other_end = map(float, true_rows[0][3:7])
        assert 6 <= end - start <= 13 and end <= 30 and other_end <= 30
        found = heard_notes(version, start, end)
        wanted = heard_notes(versions[0], other_start, other_end)
        assert len(found) == len(wanted) >= 8, (len(found), len(wanted))
        rises = {(b - a) % 12 for (_, a), (_, b) in zip(found, wanted)}
        assert rises == {true_rows[0][7] % 12}, rises
        ratio = float(true_rows[0][8])
        for (a, _), (b, _) in zip(found, wanted):
            assert abs((a - start) - (b - other_start) * ratio) < 0.15


def test_a_borrowing_shares_nothing_else():
    made = borrowings((8, 15))
    assert len(made) > 0.8 * N_WORKS
    for versions, version, loan in made:
        source = versions[0]
        assert version.tonic != source.tonic and version.lead != source.lead
        assert version.style_name != source.style_name
        assert abs(version.tempo_bpm / source.tempo_bpm - 1) >= 0.04
        for i in range(loan.n_bars):
            assert (version.work.harmony[loan.to_bar + i].root
                    != source.work.harmony[loan.from_bar + i].root)
        beats = version.work.beats_per_bar
        low, high = loan.to_bar * beats, (loan.to_bar + loan.n_bars) * beats
        tones = version.work.melody
        assert all(a.beat + a.length <= b.beat + 1e-9 for a, b in zip(tones, tones[1:]))
        own = {(t.beat, t.degree) for t in tones if not low <= t.beat < high}
        theirs = {(t.beat, t.degree) for t in source.work.melody}
        assert len(own & theirs) < 0.5 * len(own)


def test_no_passage_fits_is_said():
    source = CORPUS[0][1][0]
    try:
        borrow(SEED, 0, source, 30, (31, 40))
    except CannotBorrow as error:
        assert "31 to 40 s" in str(error) and source.work.work_id in str(error)
    else:
        raise AssertionError("31 s fit into 30 s")


def test_decoys_share_what_makes_no_version():
    for i in range(20):
        original = CORPUS[i][1][0]
        version, kind = decoy(SEED, i, original)
        ours, theirs = version.work, original.work
        assert {t.beat for t in ours.melody} != {t.beat for t in theirs.melody}
        if kind == "decoy_harmony":
            assert ours.harmony == theirs.harmony and ours.mode == theirs.mode
        else:
            assert ours.tonic == theirs.tonic and ours.mode == theirs.mode
            assert version.tempo_bpm == original.tempo_bpm and version.lead == original.lead
            assert ours.harmony[:4] != theirs.harmony[:4]
            assert ours.harmony[8:12] != theirs.harmony[8:12]


def test_segments_of_versions_play_the_same_bars():
    for _, versions in CORPUS[:15]:
        a, b = (segments.Heard(str(v.number), v, 30) for v in versions[:2])
        rows = segments.version_rows(a, b)
        assert rows
        for _, _, _, start, end, other_start, other_end, rise, ratio, echo in rows:
            assert echo == 0 and float(end) <= 30 and float(other_end) <= 30
            assert float(end) - float(start) >= segments.SHORTEST_S * 0.8
            assert (versions[0].tonic + rise - versions[1].tonic) % 12 == 0
            stretch = (float(end) - float(start)) / (float(other_end) - float(other_start))
            assert abs(stretch - float(ratio)) < 0.01
            bar = round(float(start) / a.bar_s), round(float(other_start) / b.bar_s)
            assert a.form_bar(bar[0]) == b.form_bar(bar[1])


def test_segments_name_echoes():
    """A and A' share all but the cadence: who borrows one has borrowed from the other as well."""
    work = CORPUS[0][0]
    assert 4 in segments.echo_bars(work, 0, 4) and 8 not in segments.echo_bars(work, 0, 4)
    assert segments.echo_bars(work, 8, 4) == []


# ---------------------------------------------------------------- live takes and copies

def test_a_live_take_is_out_of_tune():
    version = CORPUS[0][1][0]
    live = replace(draw_live(SEED, 0, 0), cents=-25)
    plain = score_bytes(play(SEED, version, 10))
    detuned = score_bytes(play(SEED, replace(version, live=live), 10))
    assert read_midi(plain) == read_midi(detuned)
    # Registered parameter 1 on channel 0, 8192 - 2048 = 48 * 128.
    assert bytes((0xB0, 101, 0, 0, 0xB0, 100, 1, 0, 0xB0, 6, 48, 0, 0xB0, 38, 0)) in detuned
    assert filter_graph(live, "x") == filter_graph(replace(live), "x")
    drawn = [draw_live(SEED, i, 1) for i in range(200)]
    assert {x.cents for x in drawn} <= set(range(-35, 36)) and len({x.seed for x in drawn}) == 200


def test_copies_stay_within_their_limits():
    args = SimpleNamespace(seed=SEED, seconds=30)
    made = [draw_copy(args, i, [None]) for i in range(400)]
    assert made == [draw_copy(args, i, [None]) for i in range(400)]
    for copy in made:
        assert 0.02 <= max(abs(copy.pitch - 1), abs(copy.tempo - 1)) <= SHIFT_MAX + 1e-4 \
            or copy.change == "none"
        assert copy.start_s + copy.seconds * copy.tempo <= 30.01
        assert copy.seconds == CUT_S or copy.seconds * copy.tempo > 29.9
        assert ("asetrate" in audio_filter(copy)) == (copy.pitch != 1.0)
        assert ("atempo" in audio_filter(copy)) == (copy.change in ("pitch", "tempo"))
    assert {c.change for c in made} == set(CHANGES)


# ---------------------------------------------------------------- catalogue

def test_catalogue_has_the_real_schema():
    rows = [catalog.catalog_row(SEED, v, "http://127.0.0.1:1")
            for _, versions in CORPUS for v in versions]
    text = catalog.catalog_bytes(rows).decode()
    table = list(csv.reader(io.StringIO(text)))
    assert len(table[0]) == 21 and table[0][0] == "track_id" and table[0][-1] == "time_signature"
    assert all(len(row) == 21 for row in table) and len(table) == 1 + len(rows)
    assert len({row[0] for row in table[1:]}) == len(rows)
    assert all(len(row[0]) == 18 and row[0].startswith("TR") and row[0].isalnum()
               for row in table[1:])
    names = [row[1] + row[2] for row in table[1:]]
    assert any("," in n for n in names) and any('"' in n for n in names)
    assert any(not n.isascii() for n in names)
    assert {row[6] for row in table[1:]} >= {"", "Rock", "Jazz"}
    for row in table[1:]:
        for column in ("danceability", "energy", "acousticness", "valence", "liveness"):
            assert 0 <= float(row[table[0].index(column)]) <= 1
        assert 60000 < int(row[8]) < 900000


def test_styles_name_patterns_that_exist():
    from accompany import BASSES, COMPS, DRUMS
    for name, style in STYLES.items():
        assert set(style.patterns) <= set(COMPS), name
        assert set(style.bass_lines) <= set(BASSES), name
        assert set(style.drums) <= set(DRUMS), name


if __name__ == "__main__":
    sys.exit(tap.run(globals()))
