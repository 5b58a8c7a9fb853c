#!/bin/sh
# kill -9 of fetch, of extract and of run at random moments, then the plain command again: the store
# must hold the records of an undisturbed run, byte for byte under the same keys, which is one root
# hash. KILLS kills that found fetch running and as many for extract, half as many for run (2; 20
# for the full test), at moments drawn from SEED.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

KILLS=${KILLS:-2}
SEED=${SEED:-1}
KILLS_PER_SET=2
ROWS=48
LIMIT=40/1

corpus_make small --works 4 --versions 3 --seed e2e --bad
# Each data set is a client of its own: one that starts right after another knows nothing of its requests.
start_previewd --limit $LIMIT --rtt-ms 20 --jitter 0.5 --client-header User-Agent

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
    row[header.index("spotify_preview_url")] += f"?n={i}"
    out.writerow(row)
PY

init() {
    "$refrain" init "$1" --csv "$work/music_info.csv" --set fetch.allow_private=on \
        --set fetch.limit.default=$LIMIT --set fetch.in_flight=8 --set store.commit_clips=8 \
        --set augment.positives=1 --set "fetch.user_agent=${1##*/}" >/dev/null
}

now_ms() { echo $(($(date +%s%N) / 1000000)); }

# draw KEY LOW HIGH: a whole number in [LOW, HIGH], from SEED and KEY.
draw() {
    python3 -c '
import random, sys
seed, key, low, high = sys.argv[1:]
print(random.Random(seed + "/" + key).randint(int(low), int(high)))' "$SEED" "$@"
}

n_waiting() { find "$1/spool/new" -type f 2>/dev/null | wc -l; }

# Fetch takes its time by the limit, whatever the machine is like: a moment of the clock.
by_clock() { # DIR KEY
    pause_ms=$(draw "$2" 1 $((fetch_ms * 9 / 10)))
    left=$ROWS
}

# Extract is as fast as the machine: a while after a random share of the spool has gone.
by_spool() { # DIR KEY
    pause_ms=$(draw "$2" 0 60)
    left=$(draw "left/$2" 4 "$(($(n_waiting "$1") + 4))")
}

# kill_in CHOOSE DIR KEY COMMAND...: starts the command and kills it at the moment that CHOOSE sets;
# counts in $hits when it was still running.
kill_in() {
    choose=$1 dir=$2 key=$3
    shift 3
    $choose "$dir" "$key"
    "$@" "$dir" >"$work/killed.log" 2>&1 &
    victim=$!
    pids="$pids $victim"
    for _ in $(seq 3000); do
        [ "$(n_waiting "$dir")" -gt "$left" ] || break
        sleep 0.002
    done
    sleep "$((pause_ms / 1000)).$(printf %03d $((pause_ms % 1000)))"
    kill -9 "$victim" 2>/dev/null || true
    code=0
    wait "$victim" 2>/dev/null || code=$?
    pids=${pids% "$victim"}
    [ $code -ne 137 ] || hits=$((hits + 1))
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
tap_ok "it has every clip" is "$("$refrain" status "$work/full" --json | json_get clips)" \
    $((2 * ROWS))
tap_ok "its root is a hash" [ "${#root}" -ge 16 ]
echo "# fetch took $fetch_ms ms, root $root"

# rounds NAME KILLS PREPARE CHOOSE COMMAND...: until so many kills hit, KILLS_PER_SET tries to a
# data set.
rounds() {
    name=$1 kills=$2 prepare=$3 choose=$4
    shift 4
    hits=0
    n=0
    while [ $hits -lt "$kills" ] && [ $n -lt $((kills * 4)) ]; do
        set_dir=$work/$name.$n
        $prepare "$set_dir"
        for _ in $(seq $KILLS_PER_SET); do
            n=$((n + 1))
            kill_in "$choose" "$set_dir" "$name/$n" "$@"
        done
        tap_ok "$name killed, $hits hits in $n: the root of an undisturbed run" \
            as_undisturbed "$set_dir"
        rm -rf "$set_dir"
    done
    tap_ok "$name was killed $kills times while it ran" [ $hits -ge "$kills" ]
}

from_fetched() { cp -a "$work/fetched" "$1"; }

rounds fetch "$KILLS" init by_clock "$B/bin/refrain-fetch"
rounds extract "$KILLS" from_fetched by_spool "$B/bin/refrain-extract"
rounds run $(((KILLS + 1) / 2)) init by_clock "$refrain" run

previewd_stats >"$work/stats.json"
for kind in fixed_window fixed_window_half sliding_log token_bucket; do
    tap_ok "no restart broke the limit: $kind" \
        is "$(json_get "violations.$kind" <"$work/stats.json")" 0
done

# ---------------------------------------------------------------- at the steps towards the disk
# A small version of tests/soak/kill_fetch.sh: every STEP_STRIDE-th place of all of them.
# shellcheck source=tests/faults/lib.sh
. tests/faults/lib.sh
faults_begin faults 40
tap_ok "fetch killed at steps towards the disk ends as if undisturbed" die_at_each 1 "${STEP_STRIDE:-25}"
tap_ok "most of these kills hit: $n_killed" [ "$n_killed" -gt 5 ]
tap_ok "fetch killed at random ends as if undisturbed" die_often 3 "$SEED"
tap_done
