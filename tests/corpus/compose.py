#!/usr/bin/env python3
"""Composes a corpus of works and covers and writes it as a catalogue with previews.

    compose.py --works 60 --versions 3 --base-url http://127.0.0.1:8973 -o DIR

DIR gets music_info.csv, truth.csv, segments.csv, midi/ and previews/. The same seed gives the same
MIDI and CSV bytes. Previews of scores that have not changed are kept, so an interrupted run goes on
where it was.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace

import badrows
import catalog
import copies
import segments
from borrow import CannotBorrow, borrow, decoy
from draw import Draw
from live import draw_live
from midi import score_bytes
from render import RenderError, find_soundfont, render
from version import arrange, play
from work import compose


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--works", type=int, default=60, help="different compositions (60)")
    add("--versions", type=int, default=3, help="versions of each, the first the original (3)")
    add("--seed", default="1", help="everything follows from it (1)")
    add("--seconds", type=int, default=30, help="length of a preview (30)")
    add("--jobs", type=int, default=2, help="renders at the same time (2)")
    add("--borrowings", type=int, default=0,
        help="new songs that borrow a passage of a work's melody (0)")
    add("--borrow-seconds", default="8-15", metavar="LOW-HIGH", help="length of a passage (8-15)")
    add("--decoys", type=int, default=0,
        help="new songs that share a work's harmony, or its key, tempo and sound (0)")
    add("--live", type=float, default=0.0, metavar="SHARE",
        help="share of all but the originals that is recorded on a stage (0)")
    add("--copies", type=int, default=0,
        help="copies of previews, shifted in pitch or speed, whole or cut to 5 s (0)")
    add("--base-url", default="http://127.0.0.1:8973", help="where the previews are served")
    add("--bad", action="store_true", help="add rows of bad input and write expected.csv")
    add("--no-audio", action="store_true", help="write CSV and MIDI only")
    add("-o", "--out", required=True, metavar="DIR")
    args = parser.parse_args()
    if args.works < 1 or not 1 <= args.versions <= 14 or args.seconds < 2 or args.jobs < 1:
        parser.error("need --works >= 1, 1 <= --versions <= 14, --seconds >= 2, --jobs >= 1")
    if min(args.borrowings, args.decoys, args.copies) < 0 or not 0 <= args.live <= 1:
        parser.error("need --borrowings, --decoys, --copies >= 0 and 0 <= --live <= 1")
    try:
        args.borrow_s = tuple(float(part) for part in args.borrow_seconds.split("-"))
        good = len(args.borrow_s) == 2 and 3 <= args.borrow_s[0] < args.borrow_s[1]
    except ValueError:
        good = False
    if not good:
        parser.error("--borrow-seconds takes two lengths from 3 up, such as 8-15")
    return args


def write_bytes(path, data, derived=None):
    """Leaves the file alone when it has these bytes already; otherwise replaces it whole, and
    removes the file that was made from the old bytes first."""
    if os.path.exists(path):
        with open(path, "rb") as old:
            if old.read() == data:
                return
    if derived is not None and os.path.exists(derived):
        os.remove(derived)
    with open(path + ".part", "wb") as new:
        new.write(data)
    os.replace(path + ".part", path)


class Track:
    """One row of the corpus: its version, its catalogue row and where its preview goes. `kind` is
    work, borrowing, decoy_harmony or decoy_key, `of` the track that it was made from."""

    def __init__(self, args, version, seed, kind="work", of=""):
        live = Draw(seed, "on stage", version.work.index, version.number).chance(args.live)
        if live and (version.number > 0 or kind != "work"):
            version = replace(version, live=draw_live(seed, version.work.index, version.number))
        self.version, self.seed, self.kind, self.of = version, seed, kind, of
        self.row = catalog.catalog_row(seed, version, args.base_url)
        self.track_id = self.row["track_id"]
        self.mp3_path = os.path.join(args.out, "previews", catalog.preview_name(self.track_id))
        self.midi_path = os.path.join(args.out, "midi", self.track_id + ".mid")

    def tags(self):
        return {"title": self.row["name"], "artist": self.row["artist"],
                "genre": self.version.style_name, "date": str(self.row["year"])}


def compose_works(args):
    tracks = []
    for index in range(args.works):
        work = compose(args.seed, index)
        versions = arrange(args.seed, work, args.versions)
        tracks += [Track(args, version, args.seed) for version in versions]
    return tracks


def compose_borrowings(args, works):
    """Tracks and their rows of segments.csv. Song i borrows from work i, i + 1 when nothing of that
    one fits, and so on round."""
    tracks, rows = [], []
    originals = [t for t in works if t.version.number == 0]
    for index in range(args.borrowings):
        for step in range(len(originals)):
            source = originals[(index + step) % len(originals)]
            try:
                version, loan = borrow(args.seed, index, source.version, args.seconds,
                                       args.borrow_s)
                break
            except CannotBorrow as error:
                refused = error
        else:
            raise refused
        track = Track(args, version, f"{args.seed}/borrow", "borrowing", source.track_id)
        tracks.append(track)
        ours = segments.Heard(track.track_id, track.version, args.seconds)
        for other in works:
            if other.version.work is source.version.work:
                theirs = segments.Heard(other.track_id, other.version, args.seconds)
                rows += segments.loan_rows(ours, loan, theirs)
    return tracks, rows


def compose_decoys(args, works):
    originals = [t for t in works if t.version.number == 0]
    tracks = []
    for index in range(args.decoys):
        model = originals[index // 2 % len(originals)]
        version, kind = decoy(args.seed, index, model.version)
        tracks.append(Track(args, version, f"{args.seed}/decoy", kind, model.track_id))
    return tracks


def version_segments(args, works):
    heard = [segments.Heard(t.track_id, t.version, args.seconds) for t in works]
    rows = []
    for i, a in enumerate(heard):
        for b in heard[i + 1:i + args.versions]:
            if a.version.work is b.version.work:
                rows += segments.version_rows(a, b)
    return rows


def render_all(args, tracks):
    """Renders what is missing with a progress line; the first failure ends the run."""
    missing = [t for t in tracks if not os.path.exists(t.mp3_path)]
    if not missing:
        return
    soundfont = find_soundfont()
    started = shown = time.monotonic()

    def work(track):
        with open(track.midi_path, "rb") as midi:
            render(soundfont, midi.read(), args.seconds, track.tags(), track.mp3_path,
                   track.version.live)

    with ThreadPoolExecutor(args.jobs) as pool:
        futures = [pool.submit(work, t) for t in missing]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                now = time.monotonic()
                if sys.stderr.isatty() or now - shown > 10 or done == len(missing):
                    shown = now
                    left = (len(missing) - done) * (now - started) / done
                    end = "\r" if sys.stderr.isatty() and done < len(missing) else "\n"
                    print(f"compose: {done} of {len(missing)} previews, {left:3.0f} s left ",
                          end=end, file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def main():
    args = parse_arguments()
    for name in ("previews", "midi"):
        os.makedirs(os.path.join(args.out, name), exist_ok=True)
    works = compose_works(args)
    borrowers, rows = compose_borrowings(args, works)
    tracks = works + borrowers + compose_decoys(args, works)
    for track in tracks:
        midi = score_bytes(play(track.seed, track.version, args.seconds))
        write_bytes(track.midi_path, midi, derived=track.mp3_path)
    if not args.no_audio:
        render_all(args, tracks)
    if args.copies:
        copies.make(args, tracks, write_bytes)

    truth = catalog.csv_text(
        ("track_id", "work_id", "version", "kind", "of"),
        ((t.track_id, t.version.work.work_id, t.version.number, t.kind, t.of) for t in tracks))
    places = catalog.csv_text(segments.COLUMNS, version_segments(args, works) + rows)
    write_bytes(os.path.join(args.out, "segments.csv"), places.encode())
    table = catalog.catalog_bytes(t.row for t in tracks)
    if args.bad:
        extra, expected = badrows.make(args, tracks)
        table += extra
        write_bytes(os.path.join(args.out, "expected.csv"), expected)
    write_bytes(os.path.join(args.out, "truth.csv"), truth.encode())
    write_bytes(os.path.join(args.out, "music_info.csv"), table)


if __name__ == "__main__":
    try:
        main()
    except (CannotBorrow, RenderError, OSError) as error:
        sys.exit(f"compose: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
