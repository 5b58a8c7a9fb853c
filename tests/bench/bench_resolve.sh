#!/bin/sh
# How many queries a data set costs: rows without links against a loopback imitation of Deezer's search.
#     tests/bench/bench_resolve.sh BUILD_DIR [music_info.csv[.gz]]
# Without a CSV one with as many rows and artists as the data set, 50,683 and 8,317. Goal: as many
# queries as there are artists and further pages.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../e2e/lib.sh"

corpus=$work/corpus
mkdir -p "$corpus/previews" "$work/d"
python3 - "$work" "${2:-}" <<'PY'
import csv, gzip, random, sys
work, path = sys.argv[1], sys.argv[2]
rng = random.Random(1)
with open(work + "/corpus/previews/preview", "wb") as file:
    file.write(b"".join(b"\xff\xfb\x70\xc4" + rng.randbytes(309) for _ in range(80)))

def composed():
    artists = [0] * 132 + list(range(1, 3320)) + [3320 + i % 4997 for i in range(47232)]
    for i, artist in enumerate(artists):
        yield {"track_id": f"T{i}", "name": f"Song {i}", "artist": f"Artist {artist}",
               "duration_ms": 200000 + i}

def rows():
    if not path:
        return composed()
    opener = gzip.open if path.endswith(".gz") else open
    return csv.DictReader(opener(path, "rt", encoding="utf-8", newline=""))

count = {}
with open(work + "/d/m.csv", "w", encoding="utf-8", newline="") as file:
    out = csv.writer(file)
    out.writerow(["track_id", "name", "artist", "spotify_preview_url", "duration_ms"])
    for row in rows():
        out.writerow([row["track_id"], row["name"], row["artist"], "nan", row["duration_ms"]])
        count[row["artist"]] = count.get(row["artist"], 0) + 1
pages = sum(-(-n // 100) for n in count.values())
with open(work + "/want", "w") as file:
    print(sum(count.values()), len(count), pages, file=file)
PY
start_previewd --songs "$work/d/m.csv"
{
    echo "catalog.csv = m.csv"
    echo "disk.floor = 1"
    echo "fetch.allow_private = on"
    echo "fetch.limit.default = off"
    echo "fetch.preview_ms = 2000"
    echo "resolve.sources = deezer"
    echo "resolve.contact = bench@example.org"
    echo "resolve.deezer_url = http://127.0.0.1:$previewd_port"
} >"$work/d/refrain.conf"
# Stands in for extract: what is in the spool goes.
while sleep 1; do find "$work/d/spool/new" -type f -delete 2>/dev/null || true; done &
pids="$pids $!"
"$B/bin/refrain-fetch" "$work/d" --json >"$work/run.json" 2>"$work/fetch.log" || {
    tail -n 5 "$work/fetch.log" >&2
    exit 1
}
previewd_stats >"$work/stats.json"
"$refrain" status "$work/d" --rows "$work/rows.csv" >/dev/null
python3 - "$work" <<'PY'
import csv, json, sys
work = sys.argv[1]
run = json.load(open(work + "/run.json"))
calls = json.load(open(work + "/stats.json"))["calls"]["deezer"]
rows, artists, pages = map(int, open(work + "/want").read().split())
print(f"resolve      {rows} rows of {artists} artists, {pages} pages of 100: {calls} queries "
      f"({calls / pages:.3f} of the pages, goal 1; {calls / rows:.3f} a row), "
      f"{run['states']}, {run['run']['seconds']:.0f} s")
left = [row for row in csv.DictReader(open(work + "/rows.csv", encoding="utf-8", newline=""))
        if row["state"] != "DONE"]
for row in left[:5]:
    print("             ", row["track_id"], row["state"], row["cause"])
PY
