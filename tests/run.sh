#!/bin/sh
# Runs tests and counts their TAP lines: tests/run.sh BUILD_DIR PROGRAM...
# A program that is a shell script gets the build directory as its argument. A program that dies, runs
# past its time or prints no plan counts as a failure. The last line is "N passed, N failed".
set -u
build=$1
shift
limit_s=${TEST_LIMIT_S:-600}
passed=0
failed=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for program in "$@"; do
    case $program in
    *.sh) timeout "$limit_s" sh "$program" "$build" >"$log" 2>&1 ;;
    *.py) timeout "$limit_s" python3 "$program" >"$log" 2>&1 ;;
    */fuzz_*)
        name=${program##*/fuzz_}
        timeout "$limit_s" "$program" -n "${FUZZ_EXECUTIONS:-3000}" "tests/fuzz/corpus/$name" >"$log" 2>&1
        ;;
    *) timeout "$limit_s" "$program" >"$log" 2>&1 ;;
    esac
    code=$?
    ok=$(grep -c '^ok ' "$log")
    not_ok=$(grep -c '^not ok ' "$log")
    if [ $code -ne 0 ] && [ "$not_ok" -eq 0 ] || ! grep -q '^1\.\.[0-9]' "$log"; then
        not_ok=$((not_ok + 1))
        echo "not ok - $program ended with code $code"
    fi
    passed=$((passed + ok))
    failed=$((failed + not_ok))
    if [ "$not_ok" -gt 0 ]; then
        echo "--- $program"
        tail -n 200 "$log"
    else
        echo "ok   $program ($ok)"
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
