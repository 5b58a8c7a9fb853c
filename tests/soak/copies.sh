#!/bin/sh
# Copies of composed songs, shifted in speed, pitch or tempo by 2 to 8 % or not at all, half of them
# cut to 5 s, encoded anew at 48 to 128 kbit/s: how many does a search over the catalogue find? Each
# must be the first answer, with E up to 0.01. Where it was cut is counted beside: a machine that plays
# a bar again plays it alike, and then the copy is found there.
#     SONGS=60 COPIES=200 SEED=results-copies tests/soak/copies.sh build
set -eu
. "$(dirname "$0")/../e2e/lib.sh"
songs=${SONGS:-60}
copies=${COPIES:-200}
seed=${SEED:-results-copies}
corpus_make "copies-$seed-$songs" --works "$songs" --versions 1 --seed "$seed" --copies "$copies"
audio=$work/audio
data=$work/data
mkdir "$audio"
tail -n +2 "$corpus/truth.csv" | cut -d, -f1 | while read -r track; do
    cp "$corpus/previews/$(printf %s "$track" | sha1sum | cut -d' ' -f1)" "$audio/$track.mp3"
done
quietly() { "$@" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log"
    exit 1
}; }
quietly "$refrain" init "$data" --audio "$audio" --set match.sequences=on
quietly "$refrain" run "$data"
tap_ok "at least 99 of 100 copies are found" python3 - "$refrain" "$data" "$corpus" \
    "$work/figures" <<'PY'
import csv, json, math, os, subprocess, sys
refrain, data, corpus, figures = sys.argv[1:]
song = {}
for row in csv.DictReader(open(data + "/music_info.csv")):
    link = next(v for v in row.values() if v and v.endswith(".mp3"))
    song[row["track_id"]] = os.path.basename(link)[:-4]
found, placed, false, total, seconds = {}, 0, 0, {}, 0.0
for row in csv.DictReader(open(corpus + "/copies.csv")):
    kind = row["change"] + (", 5 s" if float(row["seconds"]) == 5 else ", whole")
    run = subprocess.run([refrain, "search", data, f"{corpus}/copies/{row['file']}", "--json"],
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    m = json.loads(run.stdout)
    hits = m["copies"]
    seconds += m["seconds"]
    total[kind] = total.get(kind, 0) + 1
    first = bool(hits) and song[hits[0]["track"]] == row["track_id"]
    place = first and abs(hits[0]["other_from_ms"] / 1000 - float(row["start_s"])) < 0.75
    found[kind] = found.get(kind, 0) + bool(first)
    placed += bool(place)
    false += sum(song[h["track"]] != row["track_id"] for h in hits)
    if not first:
        print(f"# missed: {row} {hits[:1]}")
n, k = sum(total.values()), sum(found.values())
z = 1.96  # Wilson's interval
mid = (k + z * z / 2) / (n + z * z)
half = z * math.sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
with open(figures, "w") as out:
    for kind in sorted(total):
        print(f"# {kind:14} {found[kind]:4} of {total[kind]}", file=out)
    print(f"# all            {k:4} of {n}: {k / n:.3f} [{mid - half:.3f}, {mid + half:.3f}]; "
          f"{placed} where they were cut; {false} false answers; {seconds / n:.2f} s a search", file=out)
sys.exit(k < 0.99 * n)
PY
cat "$work/figures" 2>/dev/null || true
tap_done
