#!/bin/sh
# fetch end to end against a server that behaves well, badly and strictly: every row ends as it
# should, nothing is asked twice, the limit is kept through kills, and no preview is lost, doubled or
# changed by kill -9.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

KILLS=${KILLS:-8}
SEED=${SEED:-1}
fetch=$B/bin/refrain-fetch
corpus=$work/corpus

# Previews that look like MP3 (true headers, random insides): 40 of about 30 KB.
mkdir -p "$corpus/previews"
python3 - "$corpus/previews" <<'PY'
import random, sys
rng = random.Random(1)
for i in range(40):
    frames = (b"\xff\xfb\x70\xc4" + rng.randbytes(309) for _ in range(80 + i))
    with open(f"{sys.argv[1]}/p{i}", "wb") as file:
        file.write(b"".join(frames))
PY

# dataset DIR [KEY=VALUE...]: with DIR/m.csv from stdin; @ stands for the server's address.
dataset() {
    dir=$1
    shift
    mkdir -p "$dir"
    sed "s|@|http://127.0.0.1:$previewd_port|" >"$dir/m.csv"
    {
        echo "catalog.csv = m.csv"
        echo "fetch.allow_private = on"
        echo "fetch.backoff = 20"
        echo "fetch.preview_ms = 2000" # p0 and those after it are as long or longer
        echo "disk.floor = 1"
        for pair in "$@"; do echo "${pair%%=*} = ${pair#*=}"; done
    } >"$dir/refrain.conf"
}

# rows FIRST LAST: CSV lines of ids and links; row i is preview i mod 40.
rows() {
    python3 -c '
import sys
for i in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    print(f"ID{i},Song {i},Artist,@/a/p{i % 40}?n={i}")' "$1" "$2"
}

header="track_id,name,artist,spotify_preview_url"
run() { timeout 120 "$fetch" "$@" 2>"$work/fetch.log" || { code=$?; cat "$work/fetch.log"; return $code; }; }
requests() { previewd_stats | json_get requests; }

# states DIR: "ID STATE CAUSE" lines in row order, through the front door's table.
states() {
    "$refrain" status "$1" --rows "$work/rows.csv" >/dev/null || return 1
    python3 -c '
import csv, sys
for row in csv.DictReader(open(sys.argv[1], encoding="utf-8")):
    print(row["track_id"], row["state"], row["cause"])' "$work/rows.csv"
}

# Every preview in the spool is the server's, and each of N is there once.
same_bytes() {
    python3 - "$1/spool" "$corpus/previews" "$2" <<'PY'
import os, sys
spool, previews, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
names = os.listdir(spool + "/new")
assert not os.listdir(spool + "/tmp"), "tmp is not empty"
assert len(names) == n, f"{len(names)} previews, want {n}"
assert len({name.split("-")[1] for name in names}) == n, "a preview is there twice"
for name in names:
    i = int(name.split("-ID")[1])
    with open(f"{spool}/new/{name}", "rb") as got, open(f"{previews}/p{i % 40}", "rb") as want:
        assert got.read() == want.read(), name
PY
}

# ---------------------------------------------------------------- a wild mix
start_previewd
{
    echo "$header"
    for kind in 404 410 403xml html json empty halved truncated chunkcut reset slow-200000 redirect-3 redirect-9 loop \
        badlocation endless gzipped mislabelled chunked unframed goodbye status-500 status-503 r500x1 r503x1 \
        r429x1-1 r429x1-garbage r429x1-past loris-20; do
        echo "$kind,N,A,@/x/$kind/p1"
    done
    echo "nolink,N,A,nan"
    echo "ftp,N,A,ftp://host/x"
    echo "404,N,A,@/x/p1"
    echo "refused,N,A,http://127.0.0.9:1/x"
    echo "short,row"
    printf 'nul\000byte,N,A,@/x/p1\n'
    printf 'bad\377utf8,N,A,@/x/p1\n'
    echo 'quote,"N,A,@/x/p1'
    echo "good,N,A,@/x/p1"
} | dataset "$work/wild" fetch.limit.default=off fetch.attempts=2 fetch.timeout=3000 fetch.low_speed_time=1
cat >"$work/want" <<'EOF'
404 DONE 
410 GONE http_410
403xml DEAD http_403
html REJECTED html
json REJECTED json
empty REJECTED empty
halved REJECTED cut
truncated DEAD truncated
chunkcut DEAD truncated
reset DEAD truncated
slow-200000 DONE 
redirect-3 DONE 
redirect-9 DEAD redirects
loop DEAD redirects
badlocation DEAD redirect_refused
endless REJECTED too_large
gzipped DONE 
mislabelled DONE 
chunked DONE 
unframed DONE 
goodbye DONE 
status-500 DEAD http_500
status-503 DEAD http_503
r500x1 DONE 
r503x1 DONE 
r429x1-1 DONE 
r429x1-garbage DONE 
r429x1-past DONE 
loris-20 DEAD timeout
nolink NO_MATCH no_link
ftp NO_MATCH no_link
404 DUP same_track_id
refused DEAD connect
 BAD_ROW few_fields
 BAD_ROW nul_byte
 BAD_ROW bad_utf8
 BAD_ROW lone_quote
good DONE 
EOF
wild_states() {
    run "$work/wild" --json >"$work/wild.json" && states "$work/wild" >"$work/got" && diff "$work/want" "$work/got"
}
tap_ok "every row ends as it should" wild_states
tap_ok "the totals add up" sh -c "python3 -c '
import json
s = json.load(open(\"$work/wild.json\"))
assert s[\"rows\"] == sum(s[\"states\"].values()) == 38, s
assert s[\"requests\"] == s[\"run\"][\"requests\"] > 38, s
assert s[\"throttled\"] >= 4 and s[\"causes\"][\"no_link\"] == 2, s'"

# ---------------------------------------------------------------- again, and grown
before=$(requests)
again_is_quiet() { run "$work/wild" && is "$(requests)" "$before"; }
tap_ok "a second run sends no request" again_is_quiet
grown() {
    printf 'new,N,A,http://127.0.0.1:%s/x/p2\r\n' "$previewd_port" >>"$work/wild/m.csv"
    run "$work/wild" --json >"$work/grown.json" &&
        is "$(json_get run.requests <"$work/grown.json")" 1 &&
        is "$(json_get rows <"$work/grown.json")" 39 &&
        is "$(requests)" $((before + 1))
}
tap_ok "a grown CSV costs one request for its new row" grown
changed() {
    sed -e "s|^410,.*|410,N,A,http://127.0.0.1:$previewd_port/x/p3?changed|" -e '/^chunked,/d' "$work/wild/m.csv" >"$work/m.csv" &&
        mv "$work/m.csv" "$work/wild/m.csv" && run "$work/wild" --json >"$work/changed.json" && states "$work/wild" >"$work/got" &&
        is "$(json_get run.requests <"$work/changed.json")" 1 && is "$(json_get run.changed_rows <"$work/changed.json")" 1 &&
        is "$(json_get rows <"$work/changed.json")" 39 && grep -qx "410 DONE " "$work/got" &&
        grep -qx "chunked DONE " "$work/got"
}
tap_ok "a changed link costs one, a vanished row stays" changed
by_cause() {
    run "$work/wild" --retry cause=http_500,nothing_of_the_kind --json >"$work/retry.json" &&
        is "$(json_get run.requests <"$work/retry.json")" 2 && states "$work/wild" >"$work/got" &&
        grep -qx "status-500 DEAD http_500" "$work/got"
}
tap_ok "--retry cause= takes the rows of that cause and no others" by_cause

# ---------------------------------------------------------------- refusals
columns_missing() {
    echo "id,name,url" | dataset "$work/columns"
    code=0
    "$fetch" "$work/columns" 2>"$work/columns.log" || code=$?
    is $code 2 && grep -q "missing columns track_id, artist, spotify_preview_url; found id, name, url" "$work/columns.log"
}
tap_ok "missing columns are named" columns_missing
private_refused() {
    before=$(requests)
    { echo "$header" && rows 1 3; } | dataset "$work/private" fetch.limit.default=off
    sed -i 's/allow_private = on/allow_private = off/' "$work/private/refrain.conf"
    run "$work/private" --json >"$work/private.json" &&
        is "$(json_get causes.private_address <"$work/private.json")" 3 &&
        is "$(requests)" "$before"
}
tap_ok "private addresses are refused unless allowed" private_refused
previewd_end() {
    kill "$previewd_pid"
    wait "$previewd_pid" || true
}
previewd_end

# ---------------------------------------------------------------- the limit, through kills
start_previewd --limit 20/1 --rtt-ms 40 --jitter 1
{ echo "$header" && rows 0 239; } | dataset "$work/kills" fetch.limit.default=20/1
# kill_often DIR LOW HIGH: KILLS times fetch, killed after LOW to HIGH seconds; counts in $kills.
kill_often() {
    kills=0
    i=0
    while [ $i -lt "$KILLS" ]; do
        i=$((i + 1))
        "$fetch" "$1" >"$work/killed.log" 2>&1 &
        victim=$!
        pids="$pids $victim"
        sleep "$(python3 -c '
import random, sys
print("%.3f" % random.Random(" ".join(sys.argv)).uniform(float(sys.argv[2]), float(sys.argv[3])))' \
            "$SEED" "$2" "$3" $i)"
        ! kill -9 "$victim" 2>/dev/null || kills=$((kills + 1))
        wait "$victim" 2>/dev/null || true
        pids=${pids% "$victim"}
    done
}
kill_often "$work/kills" 0.5 3.5
after_kills() {
    run "$work/kills" --json >"$work/kills.json" &&
        is "$(json_get states <"$work/kills.json")" '{"DONE": 240}' && same_bytes "$work/kills" 240
}
tap_ok "after $kills kills every preview is there once, byte for byte" after_kills
no_violation() {
    previewd_stats >"$work/stats.json"
    python3 - "$work/stats.json" <<'PY'
import json, sys
stats = json.load(open(sys.argv[1]))
print(stats["requests"], stats["violations"])
assert stats["requests"] >= 240 and stats["violations"], stats
assert not any(stats["violations"].values()), stats["violations"]
PY
}
tap_ok "the server saw no violation of its limit" no_violation
previewd_end

start_previewd --rtt-ms 60 --jitter 1
{ echo "$header" && rows 0 239; } | dataset "$work/kills2" fetch.limit.default=off fetch.in_flight=4
kill_often "$work/kills2" 0.1 0.9
after_kills_without_limit() {
    run "$work/kills2" --json >"$work/kills.json" &&
        is "$(json_get states <"$work/kills.json")" '{"DONE": 240}' && same_bytes "$work/kills2" 240
}
tap_ok "after $kills kills in the middle of transfers as well" after_kills_without_limit
echo "# $(requests) requests for 240 previews"
previewd_end

start_previewd

# ---------------------------------------------------------------- stopping, locking, pausing
{ echo "$header" && rows 0 399; } | dataset "$work/stop" fetch.limit.default=10/1
"$fetch" "$work/stop" >"$work/stop.log" 2>&1 &
daemon=$!
pids="$pids $daemon"
for _ in $(seq 100); do
    [ "$(find "$work/stop/spool/new" -type f 2>/dev/null | wc -l)" -eq 0 ] || break
    sleep 0.1
done
second_daemon() {
    code=0
    "$fetch" "$work/stop" 2>"$work/second.log" || code=$?
    is $code 1 && grep -q "held by process $daemon" "$work/second.log"
}
tap_ok "a second daemon is told who holds the data set" second_daemon
stops() {
    kill "$daemon"
    code=0
    wait "$daemon" || code=$?
    pids=${pids% "$daemon"}
    n=$(find "$work/stop/spool/new" -type f | wc -l)
    is $code 0 && [ "$n" -gt 0 ] && [ "$n" -lt 400 ] && same_bytes "$work/stop" "$n" &&
        is "$("$refrain" status "$work/stop" --json | json_get states.DONE)" "$n"
}
tap_ok "SIGTERM commits what is there and exits 0" stops
shows_standing() {
    "$refrain" status "$work/stop" --json >"$work/status.json" && python3 - "$work/status.json" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
host, = (h for h in s["hosts"] if h["name"] == "127.0.0.1")
print(host, s["latency_ms"], s["eta_s"], s["requests_per_row"])
done = s["states"]["DONE"]
assert host["permits"] == 10 and host["window_s"] == 1 and host["rows_left"] == 400 - done, "host"
assert host["requests"] == s["requests"] >= done and host["paused_s"] == 0, "requests"
assert s["latency_ms"]["n"] >= done and 0 < s["latency_ms"]["p50"] <= s["latency_ms"]["p99"], "latency"
assert abs(s["eta_s"] - (400 - done) / 10) < 0.2 and 1 <= s["requests_per_row"] < 3, "quota"
PY
    "$refrain" status "$work/stop" | grep -q "host  *127.0.0.1: .* rows left, .* of 10 in 1 s free"
}
tap_ok "status shows hosts, permits, latency and the time by the quota" shows_standing
previewd_end

start_previewd
{ echo "$header" && rows 0 99; } | dataset "$work/full" fetch.limit.default=off spool.high_water=1
"$fetch" "$work/full" >"$work/full.log" 2>&1 &
daemon=$!
pids="$pids $daemon"
spool_kib() { find "$work/full/spool/new" -type f -printf '%s\n' 2>/dev/null | awk '{ n += $1 } END { print int(n / 1024) }'; }
pauses() {
    for _ in $(seq 100); do
        [ "$(spool_kib)" -lt 1000 ] || break
        sleep 0.1
    done
    sleep 1.5
    before=$(spool_kib)
    sleep 1.5
    is "$(spool_kib)" "$before" && [ "$before" -lt 2000 ] && [ "$before" -gt 1000 ] && kill -0 "$daemon"
}
tap_ok "a full spool pauses fetch" pauses
resumes() {
    for _ in $(seq 300); do
        kill -0 "$daemon" 2>/dev/null || break
        find "$work/full/spool/new" -type f -exec mv -t "$work/taken" {} +
        sleep 0.1
    done
    code=0
    wait "$daemon" || code=$?
    pids=${pids% "$daemon"}
    find "$work/full/spool/new" -type f -exec mv -t "$work/taken" {} +
    is $code 0 && is "$(find "$work/taken" -type f | wc -l)" 100 && is "$(requests)" 100
}
mkdir "$work/taken"
tap_ok "and room lets it go on to the end" resumes

# Previews that lie in the spool but not in the catalogue, as after a kill between the two.
recovers() {
    mkdir -p "$work/recover/spool/new"
    { echo "$header" && rows 0 99; } | dataset "$work/recover" fetch.limit.default=off
    cp "$work/taken"/* "$work/recover/spool/new/"
    before=$(requests)
    rm -f "$work/recover/spool/new/0000000007-ID6"
    run "$work/recover" --json >"$work/recover.json" &&
        is "$(json_get run.recovered <"$work/recover.json")" 99 &&
        is "$(requests)" $((before + 1)) && same_bytes "$work/recover" 100
}
tap_ok "previews found in the spool are not asked for again" recovers
watches() {
    { echo "$header" && rows 0 1; } | dataset "$work/watch" fetch.limit.default=off
    "$fetch" "$work/watch" --watch >"$work/watch.log" 2>&1 &
    daemon=$!
    pids="$pids $daemon"
    for i in 2 4; do
        for _ in $(seq 100); do
            [ "$(find "$work/watch/spool/new" -type f 2>/dev/null | wc -l)" -lt $i ] || break
            sleep 0.1
        done
        [ $i -ne 2 ] || rows 2 3 | sed "s|@|http://127.0.0.1:$previewd_port|" >>"$work/watch/m.csv"
    done
    kill "$daemon"
    wait "$daemon" && same_bytes "$work/watch" 4
}
tap_ok "--watch takes the rows that a CSV grows by" watches
tap_done
