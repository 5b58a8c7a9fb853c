#!/bin/sh
# Runs tests and counts their TAP lines: tests/run.sh BUILD_DIR PROGRAM...
# A program that is a shell script gets the build directory as its argument. A program that dies, runs
# past its time or prints no plan counts as a failure. TEST_JOBS run side by side (as many as there are
# cores); each one's report is printed whole. The last line is "N passed, N failed".
set -u
build=$1
shift

# One program: its report on stdout, "passed failed" as a line of $counts.
run_one() {
    program=$1
    log=$(mktemp)
    start_s=$(date +%s)
    limit="timeout ${TEST_LIMIT_S:-600}"
    case $program in
    *.sh) $limit sh "$program" "$build" >"$log" 2>&1 ;;
    *.py) $limit python3 "$program" >"$log" 2>&1 ;;
    */fuzz_*) $limit "$program" -n "${FUZZ_EXECUTIONS:-3000}" "tests/fuzz/corpus/${program##*/fuzz_}" >"$log" 2>&1 ;;
    *) $limit "$program" >"$log" 2>&1 ;;
    esac
    code=$?
    ok=$(grep -c '^ok ' "$log")
    not_ok=$(grep -c '^not ok ' "$log")
    died=
    if [ $code -ne 0 ] && [ "$not_ok" -eq 0 ] || ! grep -q '^1\.\.[0-9]' "$log"; then
        not_ok=$((not_ok + 1))
        died="not ok - $program ended with code $code"
    fi
    {
        flock 9
        echo "$ok $not_ok" >&9
        if [ "$not_ok" -gt 0 ]; then
            echo "--- $program"
            tail -n 200 "$log"
            [ -z "$died" ] || echo "$died"
        else
            echo "ok   $program ($ok) $(($(date +%s) - start_s)) s"
        fi
    } 9>>"$counts"
    rm -f "$log"
}

if [ -n "${TEST_COUNTS:-}" ]; then
    counts=$TEST_COUNTS
    run_one "$1"
    exit 0
fi
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
printf '%s\0' "$@" | TEST_COUNTS=$counts xargs -0 -n 1 -P "${TEST_JOBS:-$(nproc)}" sh "$0" "$build" ||
    echo "0 1" >>"$counts"
awk '{ passed += $1; failed += $2 }
     END { printf "%d passed, %d failed\n", passed, failed; exit !(passed > 0 && failed == 0) }' "$counts"
