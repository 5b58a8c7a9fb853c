#!/usr/bin/env python3
"""Composes a corpus of works and covers and writes it as a catalogue with previews.

    compose.py --works 60 --versions 3 --base-url http://127.0.0.1:8973 -o DIR

DIR gets music_info.csv, truth.csv (track_id,work_id,version), midi/ and previews/. The same seed
gives the same MIDI and CSV bytes. Previews of scores that have not changed are kept, so an
interrupted run goes on where it was.
"""

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import badrows
import catalog
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
    add("--base-url", default="http://127.0.0.1:8973", help="where the previews are served")
    add("--bad", action="store_true", help="add rows of bad input and write expected.csv")
    add("--no-audio", action="store_true", help="write CSV and MIDI only")
    add("-o", "--out", required=True, metavar="DIR")
    args = parser.parse_args()
    if args.works < 1 or not 1 <= args.versions <= 14 or args.seconds < 2 or args.jobs < 1:
        parser.error("need --works >= 1, 1 <= --versions <= 14, --seconds >= 2, --jobs >= 1")
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
    """One row of the corpus: its version, its catalogue row and where its preview goes."""

    def __init__(self, args, version):
        self.version = version
        self.row = catalog.catalog_row(args.seed, version, args.base_url)
        self.track_id = self.row["track_id"]
        self.mp3_path = os.path.join(args.out, "previews", catalog.preview_name(self.track_id))
        self.midi_path = os.path.join(args.out, "midi", self.track_id + ".mid")

    def tags(self):
        return {"title": self.row["name"], "artist": self.row["artist"],
                "genre": self.version.style_name, "date": str(self.row["year"])}


def compose_tracks(args):
    tracks = []
    for index in range(args.works):
        work = compose(args.seed, index)
        tracks += [Track(args, version) for version in arrange(args.seed, work, args.versions)]
    return tracks


def render_all(args, tracks):
    """Renders what is missing with a progress line; the first failure ends the run."""
    missing = [t for t in tracks if not os.path.exists(t.mp3_path)]
    if not missing:
        return
    soundfont = find_soundfont()
    started = shown = time.monotonic()

    def work(track):
        with open(track.midi_path, "rb") as midi:
            render(soundfont, midi.read(), args.seconds, track.tags(), track.mp3_path)

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
    tracks = compose_tracks(args)
    for track in tracks:
        midi = score_bytes(play(args.seed, track.version, args.seconds))
        write_bytes(track.midi_path, midi, derived=track.mp3_path)
    if not args.no_audio:
        render_all(args, tracks)

    truth = catalog.csv_text(
        ("track_id", "work_id", "version"),
        ((t.track_id, t.version.work.work_id, t.version.number) for t in tracks))
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
    except (RenderError, OSError) as error:
        sys.exit(f"compose: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
