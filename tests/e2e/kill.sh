#!/bin/sh
# kill -9 of fetch, of extract and of run at random moments, then the plain command again: the store
# must hold the records of an undisturbed run, byte for byte under the same keys, which is one root
# hash. KILLS kills of fetch and as many of extract (4; 20 for the full test), moments from SEED.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

KILLS=${KILLS:-4}
SEED=${SEED:-1}
KILLS_PER_SET=2
ROWS=48
LIMIT=40/1

corpus_make small --works 4 --versions 3 --seed e2e --bad
start_previewd --limit $LIMIT --rtt-ms 20 --jitter 0.5

# Each sound row several times under other ids: enough work to be killed in.
corpus_csv >"$work/all.csv"
python3 - "$work/all.csv" "$corpus/truth.csv" $ROWS >"$work/music_info.csv" <<'PY'
import csv
import sys

with open(sys.argv[2], encoding="utf-8", newline="") as file:
    sound = {row["track_id"] for row in csv.DictReader(file)}
with open(sys.argv[1], encoding="utf-8", errors="replace", newline="") as file:
    header, *rows = csv.reader(line.replace("\0", "") for line in file)
rows = [row for row in rows[:len(sound)] if row[0] in sound]
assert len(rows) == len(sound)
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(header)
for i in range(int(sys.argv[3])):
    row = list(rows[i % len(rows)])
    row[0] = f"{row[0][:-2]}{i:02X}"
    out.writerow(row)
PY

init() {
    "$refrain" init "$1" --csv "$work/music_info.csv" --set fetch.allow_private=on \
        --set fetch.limit.default=$LIMIT --set fetch.in_flight=8 --set store.commit_clips=8 \
        --set augment.positives=1 >/dev/null
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# moment I MAX_MS: seconds, a draw from SEED and I in [0, MAX_MS).
moment() {
    python3 -c '
import random, sys
seed, i, span_ms = sys.argv[1:]
print("%.3f" % (random.Random(seed + "/" + i).random() * int(span_ms) / 1000))' \
        "$SEED" "$1" "$2"
}

# kill_in WAIT DIR I MAX_MS COMMAND...: starts the command, lets WAIT choose the moment and kills it;
# counts in $hits when it was still running.
kill_in() {
    wait_for=$1 dir=$2 i=$3 span_ms=$4
    shift 4
    "$@" "$dir" >"$work/killed.log" 2>&1 &
    victim=$!
    pids="$pids $victim"
    $wait_for "$dir" "$i" "$span_ms"
    kill -9 "$victim" 2>/dev/null || true
    code=0
    wait "$victim" 2>/dev/null || code=$?
    pids=${pids% "$victim"}
    [ $code -ne 137 ] || hits=$((hits + 1))
}

# Fetch takes its time by the limit, whatever the machine: a moment of the clock.
by_clock() { sleep "$(moment "$2" "$3")"; }

# Extract is as fast as the machine: when a random share of the spool has gone, and a little later.
by_spool() {
    waiting=$(find "$1/spool/new" -type f | wc -l)
    left=$(moment "left$2" "$((waiting * 1000))")
    left=${left%.*}
    for _ in $(seq 3000); do
        [ "$(find "$1/spool/new" -type f | wc -l)" -gt $((left + 1)) ] || break
        sleep 0.005
    done
    sleep "$(moment "$2" 30)"
}

again() {
    timeout 300 "$refrain" run "$1" >"$work/again.log" 2>&1 || {
        tail -n 20 "$work/again.log"
        return 1
    }
}

# as_undisturbed DIR: the plain command again, then the same root, and nothing left lying about.
as_undisturbed() {
    again "$1" &&
        is "$(store_root "$1")" "$root" &&
        is "$("$refrain" status "$1" --json | json_get states.DONE)" "$ROWS" &&
        is "$(find "$1/spool/new" "$1/spool/tmp" "$1/spool/bad" -type f | wc -l)" 0 &&
        "$refrain" store verify "$1"
}

# ---------------------------------------------------------------- undisturbed, in two steps
init "$work/full"
started=$(now_ms)
tap_ok "undisturbed fetch" "$refrain" fetch "$work/full"
fetch_ms=$(($(now_ms) - started))
cp -a "$work/full" "$work/fetched"
tap_ok "undisturbed extract" "$refrain" extract "$work/full"
root=$(store_root "$work/full")
tap_ok "it has every clip" is "$("$refrain" status "$work/full" --json | json_get clips)" $((2 * ROWS))
tap_ok "its root is a hash" [ "${#root}" -ge 16 ]
echo "# fetch took $fetch_ms ms, root $root"

# rounds NAME PREPARE WAIT MAX_MS COMMAND...: kills, KILLS_PER_SET to a data set.
rounds() {
    name=$1 prepare=$2 wait=$3 max_ms=$4
    shift 4
    hits=0
    n=0
    while [ $n -lt "$KILLS" ]; do
        set_dir=$work/$name.$n
        $prepare "$set_dir"
        for _ in $(seq $KILLS_PER_SET); do
            n=$((n + 1))
            kill_in "$wait" "$set_dir" "$name$n" "$max_ms" "$@"
        done
        tap_ok "$name killed, up to kill $n: the root of an undisturbed run" as_undisturbed "$set_dir"
        rm -rf "$set_dir"
    done
    tap_ok "$name was killed while it ran" [ $hits -ge 1 ]
    echo "# $name: $hits of $n kills found it running"
}

from_fetched() { cp -a "$work/fetched" "$1"; }

rounds fetch init by_clock "$fetch_ms" "$B/bin/refrain-fetch"
rounds extract from_fetched by_spool 0 "$B/bin/refrain-extract"
KILLS=$(((KILLS + 1) / 2))
rounds run init by_clock "$fetch_ms" "$refrain" run

previewd_stats >"$work/stats.json"
for kind in fixed_window fixed_window_half sliding_log token_bucket; do
    tap_ok "no restart broke the limit: $kind" is "$(json_get "violations.$kind" <"$work/stats.json")" 0
done
tap_done
