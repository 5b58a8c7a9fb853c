# shellcheck shell=sh
# Fetch killed at a step towards the disk or at a random moment, then the plain command: every row
# must end as in an undisturbed run, with the same previews byte for byte, and little may be asked
# for twice. Sourced behind tests/e2e/lib.sh by tests/e2e/kill.sh and tests/soak/kill_fetch.sh.
fetch=$B/bin/refrain-fetch
PENDING_MAX=64 # ingest/committer.h: previews that came and are not durable yet
IN_FLIGHT=8

# Requests that the server counted: by sed, because Python takes longer to start than fetch to run.
requests() { previewd_stats | sed -n 's/^ "requests": \([0-9]*\),$/\1/p'; }

# faults_begin NAME N: composes N previews with rows that end well and badly, serves them, and runs
# once undisturbed: $faults/want.csv, $faults/want (previews), $n_requests, $n_steps.
faults_begin() {
    faults=$work/$1
    corpus=$faults/corpus
    mkdir -p "$corpus/previews" "$faults/seed"
    python3 - "$corpus/previews" "$2" <<'PY'
import random, sys
rng = random.Random(1)
for i in range(int(sys.argv[2])):
    frames = (b"\xff\xfb\x70\xc4" + rng.randbytes(309) for _ in range(80 + i % 40))
    with open(f"{sys.argv[1]}/p{i}", "wb") as file:
        file.write(b"".join(frames))
PY
    start_previewd --max-seconds 7200
    # Answers that do not depend on how often the server was asked before.
    python3 - "http://127.0.0.1:$previewd_port/x" "$2" >"$faults/seed/m.csv" <<'PY'
import sys
print("track_id,name,artist,spotify_preview_url")
bad = ("404/", "html/", "status-500/", "halved/", "empty/")
for i in range(int(sys.argv[2])):
    kind = bad[i // 8 % len(bad)] if i % 8 == 7 else ""
    print(f"ID{i},Song {i},Artist,{sys.argv[1]}/{kind}p{i}")
    if i % 16 == 7:  # a dead link, and a spare one
        print(f"ID{i},Song {i},Artist,{sys.argv[1]}/p{i}?spare")
    if i % 16 == 3:
        print(f"ID{i},Song {i},Artist,{sys.argv[1]}/p{i}")
        print(f"NOLINK{i},Song {i},Artist,nan")
        print(f"short {i}")
PY
    printf '%s\n' "catalog.csv = m.csv" "fetch.allow_private = on" "fetch.limit.default = off" \
        "fetch.in_flight = $IN_FLIGHT" "fetch.attempts = 2" "fetch.backoff = 1" \
        "fetch.preview_ms = 2000" "disk.floor = 1" >"$faults/seed/refrain.conf"
    ${CC:-gcc} -O1 -shared -fPIC -o "$faults/die_at.so" tests/faults/die_at.c
    cp -r "$faults/seed" "$faults/full"
    previewd_reset
    DIE_LOG=$faults/steps LD_PRELOAD=$faults/die_at.so "$fetch" "$faults/full" --quiet 2>/dev/null
    n_requests=$(requests)
    n_steps=$(wc -l <"$faults/steps")
    "$refrain" status "$faults/full" --rows "$faults/want.csv" >/dev/null
    mv "$faults/full/spool/new" "$faults/want"
}

# again DIR: the plain command; what it says is shown when it fails.
again() {
    timeout 60 "$fetch" "$1" --quiet 2>"$faults/again.log" || {
        cat "$faults/again.log"
        return 1
    }
}

# ends_the_same DIR: rows and previews are those of the undisturbed run.
ends_the_same() {
    "$refrain" status "$1" --rows "$1/rows.csv" >/dev/null && diff "$faults/want.csv" "$1/rows.csv" &&
        diff -r "$faults/want" "$1/spool/new" && is "$(find "$1/spool/tmp" -type f | wc -l)" 0
}

# asked_little N_KILLS: of what the server was asked for, little twice.
asked_little() {
    asked=$(requests)
    [ "$asked" -le "$most_asked" ] || most_asked=$asked
    [ "$asked" -le $((n_requests + $1 * (PENDING_MAX + IN_FLIGHT))) ] || {
        echo "$asked requests with $1 kills, $n_requests undisturbed"
        return 1
    }
}

fresh_set() {
    dir=$faults/set
    rm -rf "$dir"
    cp -r "$faults/seed" "$dir"
    previewd_reset
}

# die_at K: killed at K (die_at.c), and then as if nothing had been. Counts in $n_killed.
die_at() {
    fresh_set
    code=0
    DIE_AT=$1 LD_PRELOAD=$faults/die_at.so "$fetch" "$dir" --quiet >"$faults/killed.log" 2>&1 || code=$?
    [ $code -ne 137 ] || n_killed=$((n_killed + 1))
    { again "$dir" && ends_the_same "$dir" && asked_little 1; } || {
        echo "killed at $1: step $(($1 / 3)), $(sed -n $(($1 / 3 + 1))p "$faults/steps")"
        return 1
    }
}

# die_at_each FIRST STEP: at FIRST, FIRST + STEP and so on, over all steps of a run.
die_at_each() {
    k=$1
    n_killed=0
    most_asked=0
    while [ "$k" -lt $((3 * n_steps)) ]; do
        die_at "$k" || return 1
        k=$((k + $2))
    done
}

# die_by_clock SEED MOST_S: killed after a random while of at most so many seconds; true when it hit.
die_by_clock() {
    seconds=$(awk -v seed="$1" -v most="$2" 'BEGIN { srand(seed); printf "%.4f", 0.002 + rand() * (most - 0.002) }')
    "$fetch" "$dir" --quiet >"$faults/killed.log" 2>&1 &
    victim=$!
    pids="$pids $victim"
    sleep "$seconds"
    kill -9 "$victim" 2>/dev/null || true
    code=0
    wait "$victim" 2>/dev/null || code=$?
    pids=${pids% "$victim"}
    [ $code -eq 137 ]
}

# die_often KILLS SEED: until so many kills hit, three tries to a data set, so that a run that
# repairs is killed as well.
die_often() {
    fresh_set
    started=$(date +%s%N)
    again "$dir" || return 1
    run_s=$(python3 -c 'import sys; print(int(sys.argv[1]) / 1e9)' $(($(date +%s%N) - started)))
    n_killed=0
    most_asked=0
    n=0
    while [ "$n_killed" -lt "$1" ] && [ $n -lt $((4 * $1)) ]; do
        fresh_set
        hits=0
        for _ in 1 2 3; do
            n=$((n + 1))
            ! die_by_clock $(($2 * 100003 + n)) "$run_s" || hits=$((hits + 1))
        done
        n_killed=$((n_killed + hits))
        again "$dir" && ends_the_same "$dir" && asked_little $hits || return 1
    done
}
