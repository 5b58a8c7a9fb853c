#!/bin/sh
# fetch against curl --parallel on the same loopback server and files, rounds alternating, on the disk
# of TMPDIR and in memory, and against a loop that asks for one file after the other on a new
# connection each, as requests.get does, with a round trip of 40 ms at the server. Then memory, and
# the import of a catalogue of 50,683 rows.
#     tests/bench/bench_fetch.sh BUILD_DIR
# fetch makes each preview durable (synced, renamed, committed); curl and the loop do not, but where
# it says so, by one `sync -f` at the end. In memory there is no disk to wait for: there the programs
# alone are compared. Each figure is the best of ROUNDS, with the median behind it.
# CATALOG=FILE.csv imports that file in place of a made-up one.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
case $build in /*) ;; *) build=$PWD/$build ;; esac
fetch=$build/bin/refrain-fetch
N=${N:-1000} ROUNDS=${ROUNDS:-5} PARALLEL=16 FILE_BYTES=400000 ROWS=50683
work=$(mktemp -d "${TMPDIR:-/tmp}/refrain-bench.XXXXXX")
servers=
memory=
cleanup() {
    for pid in $servers; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work" ${memory:+"$memory"}
}
trap cleanup EXIT
trap 'exit 1' INT TERM

mkdir "$work/root"
python3 - "$work/root" $FILE_BYTES <<'EOF'
import random, sys
rng = random.Random(1)
for i in range(20):
    with open(f"{sys.argv[1]}/p{i}", "wb") as file:
        file.write(b"".join(b"\xff\xfb\x70\xc4" + rng.randbytes(309) for _ in range(int(sys.argv[2]) // 313)))
EOF

# serve RTT_MS: sets base, where the previews are.
serve() {
    rm -f "$work/port"
    python3 tests/previewd/previewd.py --root "$work/root" --port-file "$work/port" --rtt-ms "$1" \
        --max-seconds 1800 2>/dev/null &
    servers="$servers $!"
    for _ in $(seq 100); do
        [ ! -s "$work/port" ] || break
        sleep 0.1
    done
    base=http://127.0.0.1:$(cat "$work/port")/a
}

# dataset DIR N PATH IN_FLIGHT: rows i with link PATH/p(i mod 20)?i
dataset() {
    mkdir -p "$1"
    python3 - "$2" "$3" >"$1/m.csv" <<'EOF'
import sys
print("track_id,name,artist,spotify_preview_url,tags")
for i in range(int(sys.argv[1])):
    print(f'TR{i:07d},A name of usual length {i},"Artist, The {i % 8317}",{sys.argv[2]}/p{i % 20}?cid={i:032x},"rock, pop"')
EOF
    printf '%s\n' "catalog.csv = m.csv" "fetch.allow_private = on" "fetch.limit.default = off" \
        "fetch.in_flight = $4" "disk.floor = 1" >"$1/refrain.conf"
}
now() { date +%s.%N; }
# rate N FROM TO: so many a second.
rate() { python3 -c 'import sys; n, a, b = map(float, sys.argv[1:]); print("%.3f" % (n / (b - a)))' "$@"; }
best() { sort -n "$1" | tail -n 1; }
requests() { curl -s "${base%/a}/stats" | python3 -c 'import json, sys; print(json.load(sys.stdin)["requests"])'; }
# most_anon PID: $most, the most anonymous memory in KiB until it ends.
most_anon() {
    most=0
    while kill -0 "$1" 2>/dev/null; do
        kib=$(awk '/RssAnon/ { print $2 }' "/proc/$1/status" 2>/dev/null || true)
        [ "${kib:-0}" -le $most ] || most=$kib
        sleep 0.05
    done
}

# ---------------------------------------------------------------- curl --parallel
serve 0
python3 - "$N" "$base" >"$work/urls" <<'EOF'
import sys
for i in range(int(sys.argv[1])):
    print(f'url = "{sys.argv[2]}/p{i % 20}?cid={i:032x}"\noutput = "{i}"')
EOF
run_ours() { # PLACE
    dataset "$1/set" "$N" "$base" $PARALLEL
    t=$(now)
    "$fetch" "$1/set" --quiet 2>/dev/null
    rate "$N" "$t" "$(now)" >>"$1.ours"
    [ "$(find "$1/set/spool/new" -type f | wc -l)" -eq "$N" ]
    rm -rf "$1/set"
}
run_curl() { # PLACE NAME COMMAND...: the command follows, in the folder of the files
    place=$1 name=$2
    shift 2
    mkdir "$place/curl"
    t=$(now)
    (cd "$place/curl" && curl --silent --parallel --parallel-max $PARALLEL --config "$work/urls" 2>/dev/null && "$@")
    rate "$N" "$t" "$(now)" >>"$place.$name"
    rm -rf "$place/curl"
}
# compare PLACE WHERE: who goes first changes, because a disk remembers the round before.
compare() {
    mkdir -p "$1"
    for round in $(seq "$ROUNDS"); do
        [ $((round % 2)) -eq 0 ] || run_ours "$1"
        run_curl "$1" curl true
        [ $((round % 2)) -eq 1 ] || run_ours "$1"
        run_curl "$1" synced sync -f .
    done
    python3 - "$2" "$1.ours" "$1.curl" "$1.synced" <<'EOF'
import statistics, sys
where, *files = sys.argv[1:]
ours, curl, synced = (sorted(map(float, open(f))) for f in files)
def ratio(b):
    return f"{ours[-1] / b[-1]:.2f} ({statistics.median(ours) / statistics.median(b):.2f})"
print(f"400 KB files {where}: {ours[-1]:.0f} ({statistics.median(ours):.0f}) a second, durable; "
      f"curl --parallel {curl[-1]:.0f} ({statistics.median(curl):.0f}): ratio {ratio(curl)} (wanted: 1.00); "
      f"and synced {synced[-1]:.0f}: {ratio(synced)}")
EOF
}
compare "$work/disk" "on the disk"
if [ -d /dev/shm ] && [ -w /dev/shm ]; then
    memory=$(mktemp -d /dev/shm/refrain-bench.XXXXXX)
    compare "$memory/rounds" "in memory"
    rm -rf "$memory"
    memory=
fi
dataset "$work/set" "$N" "$base" $PARALLEL
"$fetch" "$work/set" --quiet 2>/dev/null &
most_anon $!
rm -rf "$work/set"
python3 -c 'import sys; print(f"RssAnon at most {int(sys.argv[1]) / 1024:.1f} MiB (wanted: 64)")' "$most"

# ---------------------------------------------------------------- one after the other
serve 40
for _ in 1 2 3; do
    dataset "$work/set" 600 "$base" 64
    t=$(now)
    "$fetch" "$work/set" --quiet 2>/dev/null
    rate 600 "$t" "$(now)" >>"$work/ours40"
    rm -rf "$work/set"
    t=$(now)
    python3 - "$base" "$work" <<'EOF'
import sys, urllib.request
for i in range(50):
    with urllib.request.urlopen(f"{sys.argv[1]}/p{i % 20}?cid={i:032x}") as answer:
        with open(f"{sys.argv[2]}/one", "wb") as file:
            file.write(answer.read())
EOF
    rate 50 "$t" "$(now)" >>"$work/loop40"
done
python3 - "$(best "$work/ours40")" "$(best "$work/loop40")" <<'EOF'
import sys
ours, loop = map(float, sys.argv[1:])
print(f"round trip of 40 ms: {ours:.0f} a second, one after the other {loop:.1f}: "
      f"{ours / loop:.1f} times (wanted: 20)")
EOF

# ---------------------------------------------------------------- 50,683 rows
# Import alone: a limit of one request a day lets one through.
serve 0
dataset "$work/import" $ROWS "$base" $PARALLEL
# Nobody else is asked: the links of a real catalogue are made to point here.
[ -z "${CATALOG:-}" ] || sed "s|https\{0,1\}://[^/,\"]*|${base%/a}|" "$CATALOG" >"$work/import/m.csv"
sed -i 's|limit.default = off|limit.default = 1/86400|' "$work/import/refrain.conf"
for _ in $(seq "$ROUNDS"); do
    rm -rf "$work/import/catalog.mdb"
    t=$(now)
    "$fetch" "$work/import" --once --quiet 2>/dev/null
    rate 1 "$t" "$(now)" >>"$work/imports"
done

# Every row asks and gets a 404: the loop, the catalogue and the committer at the size of the real CSV.
dataset "$work/big" $ROWS "$base/404" $PARALLEL
"$fetch" "$work/big" --quiet --json >"$work/big.json" 2>/dev/null &
most_anon $!
before=$(requests)
for _ in $(seq "$ROUNDS"); do
    t=$(now)
    "$fetch" "$work/big" --quiet 2>/dev/null
    rate 1 "$t" "$(now)" >>"$work/agains"
done
python3 - "$work/big.json" $most "$(best "$work/imports")" "$(best "$work/agains")" $(($(requests) - before)) <<'EOF'
import json, sys
big = json.load(open(sys.argv[1]))
most, imports, agains, asked = map(float, sys.argv[2:])
print(f"{big['rows']} rows: CSV to catalogue {1 / imports:.2f} s (wanted: 2), a run that finds nothing "
      f"to do {1 / agains:.3f} s (wanted: 1) with {asked:.0f} requests (wanted: 0)")
print(f"{big['rows']} rows that end in 404: {big['run']['requests_per_s']:.0f} requests/s, "
      f"RssAnon at most {most / 1024:.1f} MiB (wanted: 64)")
EOF
