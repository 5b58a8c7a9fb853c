#!/bin/sh
# `refrain store` on a store that is there: what doctor, retire, compact, verify and bench say and do,
# and that a path to a folder named .mdb means that store.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

set=$work/set
mkdir "$set"
"$B/tests/unit/store/test_crash" write "$set" "$work/report"

# said FILTER FILE: a Python expression over the JSON j.
said() {
    python3 -c 'import json, sys; j = json.load(open(sys.argv[2])); sys.exit(not eval(sys.argv[1]))' \
        "$1" "$2" || { cat "$2"; return 1; }
}

doctor_knows_the_store() {
    "$refrain" store doctor "$set" --json >"$work/doctor"
    said 'j["clips"] == 360 and j["aliases"] == 0 and j["generations"] == 0' "$work/doctor" &&
        said 'j["record_bytes"] + j["free_bytes"] + j["tree_bytes"] == j["file_bytes"]' "$work/doctor" &&
        said 'j["fits"] == 1 and j["full"]["hit_rate"] == 1 and j["warm_clips_per_s"] > 0' "$work/doctor" &&
        said 'any("fits memory" in a for a in j["advice"])' "$work/doctor"
}

doctor_advises_to_compact_and_is_content_then() {
    "$refrain" store doctor "$set" --json >"$work/doctor"
    said 'any("refrain store compact" in a for a in j["advice"])' "$work/doctor" || return 1
    "$refrain" store compact "$set" || return 1
    "$refrain" store doctor "$set" >"$work/text" || return 1
    cat "$work/text"
    ! grep -q 'store compact' "$work/text" && grep -q '^forecast' "$work/text"
}

no_store_is_an_error() {
    code=0
    "$refrain" store doctor "$work" 2>"$work/err" || code=$?
    cat "$work/err"
    is $code 1 && grep -q 'refrain extract' "$work/err"
}

pinned_bench() {
    "$refrain" store bench "$set" --seconds 0.2 --pin 1 --json >"$work/bench"
    said 'j["pinned"] == 1 and j["clips"] > 0' "$work/bench"
}

retire_keeps_it_readable() {
    root=$("$refrain" store stat "$set" --json | sed 's/.*"root": "\([0-9a-f]*\)".*/\1/')
    "$refrain" store retire "$set" >"$work/retired" || return 1
    grep -q "$set/features.1.mdb" "$work/retired" || { cat "$work/retired"; return 1; }
    [ ! -e "$set/features.mdb" ] || return 1
    "$refrain" store stat "$set/features.1.mdb" | grep -q "$root" || return 1
    "$refrain" store verify "$set/features.1.mdb" --deep | grep -q "$root" || return 1
    # A new one begins, and the doctor of it knows of the old.
    "$B/tests/unit/store/test_crash" write "$set" "$work/report" || return 1
    "$refrain" store doctor "$set" --json >"$work/doctor"
    said 'j["generations"] == 1 and any("retired" in a for a in j["advice"])' "$work/doctor"
}

tap_ok "doctor knows the store" doctor_knows_the_store
tap_ok "doctor advises to compact, and is content then" doctor_advises_to_compact_and_is_content_then
tap_ok "no store is an error with a sentence" no_store_is_an_error
tap_ok "bench with a pinned part" pinned_bench
tap_ok "retire keeps the old generation readable" retire_keeps_it_readable
tap_done
