#!/bin/sh
# Some 2,000 damaged previews through the whole of extract (tests/unit/programs/test_damaged.c): as it
# is built, and again with AddressSanitizer, which sees what leaks or is read out of bounds.
#     tests/soak/damaged.sh BUILD_DIR
set -eu
cd "$(dirname "$0")/../.."
build=$1
test=tests/unit/programs/test_damaged
previews=1000 # with flipped bits; the other kinds of damage come in full with them

make -s Q=@ B="$build" "$build/$test" >&2
make -s Q=@ B="$build/asan" SAN=address,undefined OPT=-O1 "$build/asan/$test" >&2

n=0
failed=0
for program in "$build/$test" "$build/asan/$test"; do
    n=$((n + 1))
    if LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp "$program" $previews >"$build/damaged.log" 2>&1; then
        echo "ok $n - $program $previews"
    else
        failed=1
        echo "not ok $n - $program $previews"
    fi
    sed 's/^/# /' "$build/damaged.log"
done
echo "1..$n"
exit $failed
