"""What tests/soak/recordings.sh measures: see there."""

import csv
import hashlib
import itertools
import json
import math
import os
import random
import re
import subprocess
import sys
import time

PIECE_S = 15
PIECE_PAIRS = 150  # a second each
RATE_HZ = 44100
HALL = "aecho=0.8:0.7:29|53|97|163:0.4|0.3|0.25|0.2"  # early reflections
NOISE_DB = -15  # an audience, against the music


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}\n{done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout


def ffmpeg(*arguments):
    run("ffmpeg", "-nostdin", "-v", "error", "-y", *arguments)


def seconds_of(path):
    return float(run("ffprobe", "-v", "error", "-show_entries", "format=duration", "-of",
                     "csv=p=0", path))


def loudness_db(*inputs):
    done = subprocess.run(["ffmpeg", "-nostdin", *inputs, "-af", "volumedetect", "-f", "null", "-"],
                          stderr=subprocess.PIPE, check=True)
    return float(re.search(rb"mean_volume: (-?[0-9.]+) dB", done.stderr).group(1))


def hall_graph(path, length):
    noise = f"anoisesrc=c=pink:r={RATE_HZ}:s=7:d={length:.2f}:a=0.5"
    gain = loudness_db("-i", path) + NOISE_DB - loudness_db("-f", "lavfi", "-i", noise)
    return (f"[0:a]aresample={RATE_HZ},aformat=channel_layouts=mono,{HALL}[music];"
            f"{noise},volume={gain:.1f}dB[noise];"
            "[music][noise]amix=inputs=2:duration=first:normalize=0")


def copies_of(path, folder):
    """(name, file) of each copy."""
    length = seconds_of(path)
    middle = max(0.0, length / 2 - 5)
    kinds = {"re-encoded at 48 kbit/s": ([], None)}
    for cut in (10, 5):
        kinds[f"cut to {cut} s"] = (["-ss", f"{middle:.2f}", "-t", str(cut)], None)
    for percent in (-6, -3, 3, 6):
        ratio = 1 + percent / 100
        kinds[f"{percent:+d} % speed"] = ([], f"asetrate={RATE_HZ * ratio:.0f},aresample={RATE_HZ}")
        kinds[f"{percent:+d} % pitch"] = ([], f"asetrate={RATE_HZ * ratio:.0f},"
                                              f"aresample={RATE_HZ},atempo={1 / ratio:.5f}")
        kinds[f"{percent:+d} % tempo"] = ([], f"atempo={ratio:.5f}")
    kinds[f"in a hall, noise at {NOISE_DB} dB"] = ([], "hall")
    for number, (name, (cut, graph)) in enumerate(kinds.items()):
        out = f"{folder}/copy{number}.mp3"
        if graph == "hall":
            ffmpeg("-i", path, "-filter_complex", hall_graph(path, length), "-b:a", "64k", out)
        else:
            chain = f"aresample={RATE_HZ}" + (f",{graph}" if graph else "")
            ffmpeg("-i", path, *cut, "-af", chain, "-ac", "1", "-b:a", "48k", out)
        yield name, out


def make_data(refrain, files, work):
    """A data set of these files, its track ids T0, T1, ..."""
    audio = f"{work}/audio"
    os.mkdir(audio)
    with open(f"{work}/songs.csv", "w", encoding="utf-8") as out:
        table = csv.writer(out)
        table.writerow(("track_id", "name", "artist", "spotify_preview_url"))
        for i, path in enumerate(files):
            table.writerow((f"T{i}", f"Song {i}", "Band", f"http://127.0.0.1:9/{i}"))
            os.symlink(os.path.abspath(path), f"{audio}/{i + 1:010d}-T{i}")
    run(refrain, "init", f"{work}/data", "--csv", f"{work}/songs.csv")
    run(refrain, "match", f"{work}/data", "--sequences", "--audio", audio, "--threads", "1")
    return f"{work}/data"


def search_copies(refrain, recordings, others, work):
    data = make_data(refrain, recordings + others, work)
    found, total, false, aligned = {}, {}, 0, 0
    for i, path in enumerate(recordings):
        before = sum(found.values())
        for name, copy in copies_of(path, work):
            answer = json.loads(run(refrain, "search", data, copy, "--threads", "1", "--json"))
            hits = answer["copies"]
            first = bool(hits) and hits[0]["track"] == f"T{i}" and hits[0]["evalue"] <= 0.01
            total[name] = total.get(name, 0) + 1
            found[name] = found.get(name, 0) + first
            false += sum(h["track"] != f"T{i}" for h in hits)
            melody = answer["hits"]
            also = bool(melody) and melody[0]["track"] == f"T{i}" and melody[0]["evalue"] <= 0.01
            aligned += also
            if not first:
                print(f"not found as a copy, {'but' if also else 'nor'} by its melody: {name} of "
                      f"{os.path.basename(path)}")
        print(f"{os.path.basename(path)[:50]}: {sum(found.values()) - before} copies found",
              flush=True)
    n, k = sum(total.values()), sum(found.values())
    print(f"copies of {len(recordings)} recordings, searched for among {len(recordings + others)}:")
    for name, count in total.items():
        print(f"  {name:28} {found[name]:3} of {count}")
    print(f"  all: {k} of {n}; {false} false answers; {aligned} are first by melody too")
    return k / n, false


def print_counts(evalues):
    """Pairs whose axis is as good as E, beside how many chance promises: of a copy, E is how many
    passages; of the melody of two songs it is a probability."""
    share = {"melody": lambda e: e, "copy": lambda e: -math.expm1(-e)}
    for axis, values in evalues.items():
        print(f"  {axis:7} ({len(values)})" + "; ".join(
            f" E {e:g}: {sum(v <= e for v in values)} ({share[axis](e) * len(values):.1f})"
            for e in (0.3, 0.1, 0.03, 0.01, 0.001)))


def compare(refrain, a, b, evalues):
    m = json.loads(run(refrain, "match", a, b, "--json"))
    evalues["copy"].append(m["copy"]["evalue"])
    if m["cover"]:
        evalues["melody"].append(m["cover"]["evalue"])
    return m


def false_alarms(refrain, recordings):
    alarms, maybe, low = 0, 0, []
    evalues = {"melody": [], "copy": []}
    pairs = list(itertools.combinations(recordings, 2))
    for a, b in pairs:
        m = compare(refrain, a, b, evalues)
        alarms += m["verdict"] not in ("nothing", "maybe")
        maybe += m["verdict"] == "maybe"
        low.append((m["copy"]["evalue"], os.path.basename(a), os.path.basename(b)))
    print(f"{len(pairs)} pairs of different recordings: {alarms} claims, {maybe} called maybe; as "
          "good as E by chance, promised:")
    print_counts(evalues)
    for least, a, b in sorted(low)[:2]:
        print(f"  as copies {least:.2g}: {a[:40]} and {b[:40]}")
    return alarms


def piece_calibration(refrain, recordings, work):
    pieces = []
    for i, path in enumerate(recordings):
        for k in range(int(seconds_of(path) / PIECE_S)):
            out = f"{work}/piece{i}-{k}.wav"
            ffmpeg("-ss", str(k * PIECE_S), "-t", str(PIECE_S), "-i", path, "-ac", "1", out)
            pieces.append((i, out))
    pairs = [(a, b) for (i, a), (k, b) in itertools.combinations(pieces, 2) if i != k]
    chosen = random.Random(1).sample(pairs, min(PIECE_PAIRS, len(pairs)))
    evalues = {"melody": [], "copy": []}
    for a, b in chosen:
        compare(refrain, a, b, evalues)
    print(f"{len(pieces)} pieces of {PIECE_S} s, {len(chosen)} of {len(pairs)} pairs of different "
          "recordings; as good as E by chance, promised:")
    print_counts(evalues)


def main():
    refrain, folder, work, corpus = sys.argv[1:]
    kinds = (".ogg", ".mp3", ".flac", ".wav", ".m4a")
    recordings = sorted(os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(kinds))
    recordings = [r for r in recordings if seconds_of(r) >= 10]
    others = []
    if corpus:
        with open(f"{corpus}/truth.csv", encoding="utf-8") as truth:
            others = [f"{corpus}/previews/{hashlib.sha1(r['track_id'].encode()).hexdigest()}"
                      for r in csv.DictReader(truth)]
    began = time.monotonic()

    def took(what):
        print(f"({what}: {time.monotonic() - began:.0f} s since the beginning)", flush=True)

    share, false = search_copies(refrain, recordings, others, work)
    took("copies")
    alarms = false_alarms(refrain, recordings)
    took("whole recordings")
    piece_calibration(refrain, recordings, work)
    took("pieces")
    sys.exit(share < 0.95 or false > 0 or alarms > 0)


main()
