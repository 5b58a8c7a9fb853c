#!/bin/sh
# The crash promise of docs/OPERATIONS.md, call by call: a writer and a compaction under a disk that
# refuses (ENOSPC, EIO), writes short or kills the program at its n-th call, kills at random
# moments, and files with a flipped bit or a lost end. FAULTS cases in all (40; 1000 in
# tests/soak/store_faults.sh). After each: what a commit had said is there, nothing is half there,
# no repair, and the same command goes on to the root of a run that nothing disturbed.
# The failing is done above the file system, so memory will do for a disk.
[ -n "${TMPDIR:-}" ] || [ ! -w /dev/shm ] || TMPDIR=/dev/shm
export TMPDIR
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

FAULTS=${FAULTS:-40}
SEED=${SEED:-1}
store=$B/bin/refrain-store
crash=$B/tests/unit/store/test_crash
shim=$work/faulty_disk.so
${CC:-gcc} -std=c17 -D_GNU_SOURCE -O1 -shared -fPIC -o "$shim" tests/e2e/faulty_disk.c -pthread

# draw N: the next number below N, as a function of SEED.
drawn=$SEED
draw() {
    drawn=$(((drawn * 1103515245 + 12345) % 2147483648))
    number=$((drawn / 65536 % $1))
}

# faulty KIND N COMMAND...: runs it on the disk that fails at its N-th call; 137 when it was killed.
faulty() {
    kind=$1 at=$2
    shift 2
    rm -f "$work/hit"
    code=0
    # The shell says "Killed" in its own words.
    { FAULTY_PATH=features.mdb FAULTY_KIND=$kind FAULTY_AT=$at FAULTY_HIT=$work/hit \
        ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD=$shim "$@"; } >"$work/said" 2>&1 || code=$?
}

broken() {
    echo "$1: case $case, $kind at call $at"
    cat "$work/said" "$work/checked" 2>/dev/null
    cp -r "$work/set" "$work/broken" 2>/dev/null || true
    return 1
}

# whole WANT_MIN: the check of test_crash, and the number of tracks in $tracks.
whole() {
    "$crash" check "$work/set" "$work/report" >"$work/checked" 2>&1 || { broken "not whole"; return 1; }
    tracks=$(tail -n 1 "$work/checked" | cut -d' ' -f1)
    root=$(tail -n 1 "$work/checked" | cut -d' ' -f2)
}

finish() {
    "$crash" write "$work/set" "$work/report2" >"$work/said" 2>&1 || { broken "did not go on"; return 1; }
    whole || return 1
    [ "$root" = "$want" ] || { broken "root $root, undisturbed it is $want"; return 1; }
}

fresh() {
    rm -rf "$work/set"
    mkdir "$work/set"
    : >"$work/report"
}

fresh
"$crash" write "$work/set" "$work/report"
whole
want=$root
cp -r "$work/set" "$work/full"

# Every kind at calls that are spread over the whole run.
calls_fail() {
    n=$1
    shift
    for case in $(seq "$n"); do
        kind=$(echo ENOSPC EIO SHORT KILL DIED | cut -d' ' -f$((case % 5 + 1)))
        draw "$calls"
        at=$((number + 1))
        fresh
        faulty "$kind" "$at" "$crash" write "$work/set" "$work/report"
        [ -e "$work/hit" ] || { broken "the call never came"; return 1; }
        case $kind-$code in
        KILL-137 | DIED-137 | ENOSPC-1 | EIO-1 | SHORT-[01]) ;;
        # Removing or locking may fail without harm.
        ENOSPC-0 | EIO-0) ;;
        *) broken "exit code $code"; return 1 ;;
        esac
        whole || return 1
        [ "$code" != 1 ] || [ -s "$work/said" ] || { broken "failed without a sentence"; return 1; }
        finish || return 1
    done
}

count_calls() {
    fresh
    low=1 high=4096
    while [ $low -lt $high ]; do
        middle=$(((low + high + 1) / 2))
        fresh
        faulty DIED $middle "$@"
        if [ -e "$work/hit" ]; then low=$middle; else high=$((middle - 1)); fi
    done
    calls=$low
}

# One store, killed again and again at random calls until it is written.
killed_over_and_over() {
    case=0 tracks=0
    fresh
    while [ $case -lt "$1" ]; do
        case=$((case + 1))
        draw 40
        faulty "$(echo KILL DIED | cut -d' ' -f$((case % 2 + 1)))" $((number + 1)) \
            "$crash" write "$work/set" "$work/report"
        before=$tracks
        whole || return 1
        [ "$tracks" -ge "$before" ] || { broken "$before tracks became $tracks"; return 1; }
        [ "$code" = 137 ] && continue
        [ "$code" = 0 ] && [ "$root" = "$want" ] || { broken "root $root, code $code"; return 1; }
        tracks=0
        fresh
    done
    finish
}

# Old file or new file, never neither; the root is the same in both.
compactions_fail() {
    for case in $(seq "$1"); do
        kind=$(echo ENOSPC EIO KILL DIED | cut -d' ' -f$((case % 4 + 1)))
        draw 90
        at=$((number + 1))
        rm -rf "$work/set"
        cp -r "$work/full" "$work/set"
        faulty "$kind" "$at" "$store" compact "$work/set"
        case $code in
        0 | 1 | 137) ;;
        *) broken "exit code $code"; return 1 ;;
        esac
        whole || return 1
        [ "$root" = "$want" ] || { broken "root $root"; return 1; }
        "$store" compact "$work/set" >"$work/said" 2>&1 || { broken "the next one failed"; return 1; }
        whole || return 1
        [ "$root" = "$want" ] || { broken "root $root"; return 1; }
    done
}

# verify finds the damage or the content is what it was; no tool is taken down.
damaged_files() {
    found=0
    for case in $(seq "$1"); do
        kind=damage at=$case
        rm -rf "$work/set"
        cp -r "$work/full" "$work/set"
        "$crash" damage "$work/set" $((SEED * 100000 + case))
        code=0
        "$store" verify "$work/set" --deep >"$work/said" 2>&1 || code=$?
        case $code in
        1) found=$((found + 1)) ;;
        0)
            whole || return 1
            [ "$root" = "$want" ] || { broken "damage was not seen"; return 1; }
            ;;
        *) broken "verify ended with $code"; return 1 ;;
        esac
    done
    echo "found in $found of $1, the others lie in pages that nothing uses"
    [ "$found" -gt $(($1 / 4)) ]
}

count_calls "$crash" write "$work/set" "$work/report"
echo "# a run makes $calls calls"
tap_ok "a writer whose disk fails at one of its calls" calls_fail $((FAULTS * 4 / 10))
tap_ok "killed over and over" killed_over_and_over $((FAULTS * 3 / 10))
tap_ok "compact on a disk that fails" compactions_fail $((FAULTS / 10))
tap_ok "flipped bits and lost ends" damaged_files $((FAULTS * 2 / 10))
tap_done
