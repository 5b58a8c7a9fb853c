#!/bin/sh
# What a host says about its limits is heard: three generations of RateLimit fields, a Retry-After that
# outlives the run that got it, and answers that are no refusals though they look odd.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

fetch=$B/bin/refrain-fetch
corpus=$work/corpus
mkdir -p "$corpus/previews"
python3 - "$corpus/previews/p" <<'PY'
import random, sys
rng = random.Random(1)
with open(sys.argv[1], "wb") as file:
    file.write(b"".join(b"\xff\xfb\x70\xc4" + rng.randbytes(309) for _ in range(80)))
PY
start_previewd

# dataset DIR BEHAVIOUR...: a row for each, one request at a time.
dataset() {
    dir=$1
    shift
    mkdir -p "$dir"
    echo "track_id,name,artist,spotify_preview_url" >"$dir/m.csv"
    for behaviour in "$@"; do
        echo "$behaviour,N,A,http://127.0.0.1:$previewd_port/$(basename "$dir")/$behaviour/p" >>"$dir/m.csv"
    done
    {
        echo "catalog.csv = m.csv"
        echo "fetch.allow_private = on"
        echo "fetch.in_flight = 1"
        echo "fetch.limit.default = off"
        echo "fetch.backoff = 20"
        echo "fetch.attempts = 2"
        echo "fetch.preview_ms = 2000"
        echo "disk.floor = 1"
    } >"$dir/refrain.conf"
}
run_json() { timeout 120 "$fetch" "$@" --json >"$work/run.json" 2>"$work/fetch.log"; }
states() { json_get states <"$work/run.json"; }

remaining_is_heard() {
    dataset "$work/limits" limit0-x limit0-06 limit0-07 limit0-08 plain
    previewd_reset && run_json "$work/limits" && is "$(states)" '{"DONE": 5}' || return 1
    previewd_stats >"$work/stats.json"
    python3 - "$work/stats.json" <<'PY'
import json, sys
stats = json.load(open(sys.argv[1]))
span = stats["last_s"] - stats["first_s"]
print(span)
# Each of the four says that nothing is left for a second; X-RateLimit-Reset is a time of day in whole
# seconds, so that of its second only a part may be left.
assert 3.0 <= span < 30, span
PY
}
tap_ok "nothing remains: nobody asks before the reset, in any generation of the fields" remaining_is_heard
pause_outlives_the_run() {
    dataset "$work/pause" r429x1-60 plain
    previewd_reset && run_json "$work/pause" --once && is "$(json_get run.requests <"$work/run.json")" 1 &&
        run_json "$work/pause" --once && is "$(json_get run.requests <"$work/run.json")" 0 &&
        is "$(previewd_stats | json_get requests)" 1
}
tap_ok "a Retry-After holds for the next run as well" pause_outlives_the_run
odd_but_good() {
    dataset "$work/odd" octets tagged ranges http10 gzipped mislabelled
    run_json "$work/odd" && is "$(states)" '{"DONE": 6}'
}
tap_ok "odd answers that are previews" odd_but_good
odd_and_bad() {
    dataset "$work/bad" xml unasked_part twolengths
    run_json "$work/bad" && is "$(json_get causes.xml <"$work/run.json")" 1 &&
        is "$(json_get causes.http_206 <"$work/run.json")" 1 && is "$(json_get states.DONE <"$work/run.json")" null
}
tap_ok "odd answers that are none" odd_and_bad
tap_done
