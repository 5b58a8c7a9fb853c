#!/bin/sh
# fetch against curl --parallel on the same loopback server and files: requests a second as a ratio,
# from rounds that alternate. Then the memory and the import of a catalogue of 50,683 rows.
#     tests/bench/bench_fetch.sh BUILD_DIR
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
fetch=$build/bin/refrain-fetch
N=${N:-1500} ROUNDS=${ROUNDS:-3} PARALLEL=16 FILE_BYTES=400000 ROWS=50683
work=$(mktemp -d "${TMPDIR:-/tmp}/refrain-bench.XXXXXX")
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

mkdir "$work/root"
python3 - "$work/root" $FILE_BYTES <<'PY'
import random, sys
rng = random.Random(1)
for i in range(20):
    with open(f"{sys.argv[1]}/p{i}", "wb") as file:
        file.write(b"".join(b"\xff\xfb\x70\xc4" + rng.randbytes(309) for _ in range(int(sys.argv[2]) // 313)))
PY
python3 tests/previewd/previewd.py --root "$work/root" --port-file "$work/port" --max-seconds 900 2>/dev/null &
server=$!
for _ in $(seq 100); do [ -s "$work/port" ] && break; sleep 0.1; done
base=http://127.0.0.1:$(cat "$work/port")/a

# dataset DIR N PATH: rows i with link PATH/p(i mod 20)?i
dataset() {
    mkdir -p "$1"
    python3 - "$2" "$3" >"$1/m.csv" <<'PY'
import sys
print("track_id,name,artist,spotify_preview_url,tags")
for i in range(int(sys.argv[1])):
    print(f'TR{i:07d},A name of usual length {i},"Artist, The {i % 8317}",{sys.argv[2]}/p{i % 20}?cid={i:032x},"rock, pop"')
PY
    printf '%s\n' "catalog.csv = m.csv" "fetch.allow_private = on" "fetch.limit.default = off" \
        "fetch.in_flight = $PARALLEL" "disk.floor = 1" >"$1/refrain.conf"
}
now() { date +%s.%N; }
rate() { python3 -c 'import sys; print("%.1f" % (float(sys.argv[1]) / (float(sys.argv[3]) - float(sys.argv[2]))))' "$N" "$1" "$2"; }

for round in $(seq "$ROUNDS"); do
    dataset "$work/set$round" "$N" "$base"
    t=$(now)
    "$fetch" "$work/set$round" --quiet
    rate "$t" "$(now)" >>"$work/ours"
    [ "$(find "$work/set$round/spool/new" -type f | wc -l)" -eq "$N" ]
    mkdir "$work/curl$round"
    python3 - "$N" "$base" "$work/curl$round" >"$work/urls" <<'PY'
import sys
for i in range(int(sys.argv[1])):
    print(f'url = "{sys.argv[2]}/p{i % 20}?cid={i:032x}"\noutput = "{sys.argv[3]}/{i}"')
PY
    t=$(now)
    curl --silent --parallel --parallel-max $PARALLEL --config "$work/urls" 2>/dev/null
    rate "$t" "$(now)" >>"$work/curls"
    rm -rf "$work/set$round" "$work/curl$round"
done
python3 - "$work/ours" "$work/curls" <<'PY'
import statistics, sys
ours, curl = (statistics.median(map(float, open(name))) for name in sys.argv[1:])
print(f"fetch {ours:.0f} requests/s, curl --parallel {curl:.0f} requests/s: ratio {ours / curl:.2f} (wanted: 0.80)")
PY

# Every row asks and gets a 404: the loop, the catalogue and the committer at the size of the real CSV.
dataset "$work/big" $ROWS "$base/404"
"$fetch" "$work/big" --quiet --json >"$work/big.json" 2>/dev/null &
pid=$!
most=0
while kill -0 $pid 2>/dev/null; do
    kib=$(awk '/RssAnon/ { print $2 }' /proc/$pid/status 2>/dev/null || true)
    [ "${kib:-0}" -le $most ] || most=$kib
    sleep 0.05
done
wait $pid
t=$(now)
"$fetch" "$work/big" --quiet
python3 - "$work/big.json" $most "$t" "$(now)" <<'PY'
import json, sys
big = json.load(open(sys.argv[1]))
print(f"{big['rows']} rows: {big['run']['requests_per_s']:.0f} requests/s, RssAnon at most "
      f"{int(sys.argv[2]) / 1024:.1f} MiB (wanted: 64), a second run {float(sys.argv[4]) - float(sys.argv[3]):.2f} s")
PY
