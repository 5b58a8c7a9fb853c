#!/bin/sh
# Rows without a working link against loopback imitations of the search APIs: as many calls as there
# are artists, refusals that are never taken for "no such song", links that expire, sources in a bad
# mood, and nothing at all unless it is switched on.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

fetch=$B/bin/refrain-fetch
corpus=$work/corpus

# One preview for all songs, 2 s of MP3 frames; songs.csv is what the APIs know, 300 songs of 60
# artists, the first of them with 132, and one whose artist the API takes for another one.
mkdir -p "$corpus/previews"
python3 - "$corpus" <<'PY'
import csv, random, sys
rng = random.Random(1)
with open(sys.argv[1] + "/previews/preview", "wb") as file:
    file.write(b"".join(b"\xff\xfb\x70\xc4" + rng.randbytes(309) for _ in range(80)))
with open(sys.argv[1] + "/songs.csv", "w", encoding="utf-8", newline="") as file:
    out = csv.writer(file)
    out.writerow(["track_id", "name", "artist", "spotify_preview_url", "duration_ms"])
    songs = [0] * 132 + [1 + i % 59 for i in range(168)]
    for i, artist in enumerate(songs):
        out.writerow([f"ID{i}", f"Söng Number {i} (Remastered 2011)", f"The Ärtist {artist} & Friends",
                      "nan", 180000 + 997 * i])
    out.writerow(["ID300", "A Lonely Song", "The Ärtist 3 and Friends", "nan", 200000])
PY

# dataset DIR [KEY=VALUE...]: with DIR/m.csv from stdin.
dataset() {
    dir=$1
    shift
    mkdir -p "$dir"
    cat >"$dir/m.csv"
    {
        echo "catalog.csv = m.csv"
        echo "fetch.allow_private = on"
        echo "fetch.backoff = 20"
        echo "fetch.preview_ms = 2000"
        echo "disk.floor = 1"
        echo "fetch.limit.default = off"
        for pair in "$@"; do echo "${pair%%=*} = ${pair#*=}"; done
    } >"$dir/refrain.conf"
}

# sourced DIR MOOD [KEY=VALUE...]: dataset with both sources, in this mood ("" for none).
sourced() {
    dir=$1
    mood=$2
    shift 2
    dataset "$dir" "resolve.sources=${sources:-deezer}" resolve.contact=test@example.org \
        "resolve.deezer_url=http://127.0.0.1:$api_port$mood" \
        "resolve.itunes_url=http://127.0.0.1:$api_port" "$@"
}

# some FIRST COUNT: songs of the catalogue, with its header.
some() { awk -v first="$1" -v n="$2" 'NR == 1 || (NR > first + 1 && NR <= first + 1 + n)' "$corpus/songs.csv"; }
run() { timeout 120 "$fetch" "$@" 2>"$work/fetch.log" || { code=$?; cat "$work/fetch.log"; return $code; }; }
api() { curl -sf --max-time 10 "http://127.0.0.1:$api_port/stats" | json_get "$1"; }
api_reset() {
    curl -sf --max-time 10 -X POST "http://127.0.0.1:$api_port/stats/reset" >/dev/null
    calls_before=$(api calls.deezer)
}
calls() { echo $(($(api calls.deezer) - calls_before)); }
states() { json_get states <"$work/run.json"; }
run_json() { run "$1" --json >"$work/run.json"; }

# start_pair API_OPTIONS... : the previews' host, and the API that leads there.
start_pair() {
    start_previewd --host 127.0.0.2 --songs "$corpus/songs.csv"
    cdn_pid=$previewd_pid
    cdn=http://127.0.0.2:$previewd_port
    start_previewd --songs "$corpus/songs.csv" --cdn "$cdn" "$@"
    api_port=$previewd_port
    calls_before=0
}
end_pair() {
    kill "$previewd_pid" "$cdn_pid"
    wait "$previewd_pid" "$cdn_pid" || true
}

# ---------------------------------------------------------------- off, unless
start_pair --limit 40/1 --enforce --client-header User-Agent --rtt-ms 20 --jitter 1
off_by_default() {
    some 0 5 | dataset "$work/off" && run_json "$work/off" && is "$(states)" '{"NO_MATCH": 5}' &&
        is "$(calls)" 0
}
tap_ok "no source is asked unless one is switched on" off_by_default
contact_needed() {
    some 0 5 | dataset "$work/contact" resolve.sources=deezer
    code=0
    "$fetch" "$work/contact" 2>"$work/contact.log" || code=$?
    is $code 2 && grep -q "resolve.contact is empty: set it to your mail address" "$work/contact.log"
}
tap_ok "a source is not asked without a contact" contact_needed

# ---------------------------------------------------------------- by artist
by_artist() {
    sourced "$work/artist" "" fetch.limit.127.0.0.1=40/1 <"$corpus/songs.csv"
    run_json "$work/artist" && is "$(states)" '{"DONE": 301}' &&
        is "$(calls)" 62 && # 60 artists, one with a second page, one with a song to ask for alone
        is "$(json_get run.resolved <"$work/run.json")" 301 &&
        is "$(json_get run.queries <"$work/run.json")" 62 &&
        "$refrain" status "$work/artist" --rows "$work/rows.csv" >/dev/null &&
        is "$(grep -c ',deezer,[01]\.[0-9]*' "$work/rows.csv")" 301
}
tap_ok "301 rows of 60 artists cost 60 queries, a page and a song" by_artist
within_limit() {
    curl -sf "http://127.0.0.1:$api_port/stats" >"$work/stats.json"
    python3 - "$work/stats.json" <<'PY'
import json, sys
stats = json.load(open(sys.argv[1]))
assert stats["requests"] == 62 and not any(stats["violations"].values()), stats
who, = stats["violations_by_client"]
assert who.startswith("refrain/") and who.endswith(" (test@example.org)"), who
PY
}
tap_ok "within the limit of the API" within_limit
again_quiet() {
    before=$(calls)
    run_json "$work/artist" && is "$(json_get run.requests <"$work/run.json")" 0 && is "$(calls)" "$before"
}
tap_ok "and a second run asks nothing" again_quiet
switched_on_later() {
    sed -i '/^resolve/d' "$work/off/refrain.conf"
    {
        echo "resolve.sources = deezer"
        echo "resolve.contact = https://example.org/refrain"
        echo "resolve.deezer_url = http://127.0.0.1:$api_port"
    } >>"$work/off/refrain.conf"
    run_json "$work/off" && is "$(states)" '{"DONE": 5}'
}
tap_ok "a source that is switched on later finds what was without a link" switched_on_later
dead_links() {
    some 140 6 | sed "s|\(ID[0-9]*\)\(.*\),nan,|\1\2,$cdn/404/\1,|" | sourced "$work/dead" ""
    run_json "$work/dead" && is "$(states)" '{"DONE": 6}'
}
tap_ok "a dead link is replaced" dead_links
unknown_song() {
    { some 150 1 && echo "X1,Nobody Sang This,The Ärtist 3 & Friends,nan,180000" &&
        echo "X2,Söng Number 151,The Ärtist 3 & Friends,nan,999000"; } | sourced "$work/unknown" ""
    run_json "$work/unknown" && is "$(states)" '{"DONE": 1, "NO_MATCH": 2}' &&
        is "$(json_get causes.not_found <"$work/run.json")" 2 && run_json "$work/unknown" &&
        is "$(json_get run.requests <"$work/run.json")" 0
}
tap_ok "what nobody has ends as NO_MATCH, once" unknown_song
end_pair

# ---------------------------------------------------------------- refusals and moods
start_pair
refused_then_answered() {
    some 132 30 | sourced "$work/quota" /quota-1 &&
        run_json "$work/quota" && is "$(states)" '{"DONE": 30}' &&
        [ "$(json_get throttled <"$work/run.json")" -ge 1 ]
}
tap_ok "a quota error with status 200 pauses the host and costs no row" refused_then_answered
# mood NAME WANTED_STATES [CAUSE]: 8 songs of 8 artists with Deezer in this mood.
mood() {
    some 140 8 | sourced "$work/mood-$1" "/$1" fetch.attempts=2 &&
        run_json "$work/mood-$1" && is "$(states)" "$2" || return 1
    [ -z "${3:-}" ] || is "$(json_get "causes.$3" <"$work/run.json")" 8
}
tap_ok "a byte order mark and blank lines before the JSON" mood bom '{"DONE": 8}'
tap_ok "blank lines" mood blank '{"DONE": 8}'
tap_ok "a text with a NUL, a link that is none" mood nul '{"NO_MATCH": 8}' not_found
tap_ok "songs without a preview" mood nopreview '{"NO_MATCH": 8}' not_found
tap_ok "no data" mood nodata '{"NO_MATCH": 8}' not_found
tap_ok "half a JSON" mood cutjson '{"DEAD": 8}' source_broken
tap_ok "bytes that are no UTF-8" mood badutf8 '{"DEAD": 8}' source_broken
tap_ok "half a surrogate pair" mood surrogate '{"DEAD": 8}' source_broken
tap_ok "brackets a hundred thousand deep" mood deep '{"DEAD": 8}' source_broken
tap_ok "five megabytes" mood huge '{"DEAD": 8}' source_broken
tap_ok "a page in place of an answer" mood page '{"DEAD": 8}' source_broken
tap_ok "status 500" mood error500 '{"DEAD": 8}' source_http_500
tap_ok "a connection that breaks" mood cutoff '{"DEAD": 8}' source_truncated
tap_ok "a source that will not serve us" mood permission '{"DEAD": 8}' source_refused
retried_by_cause() {
    sed -i 's|/cutjson||' "$work/mood-cutjson/refrain.conf"
    run "$work/mood-cutjson" --retry cause=source_broken --json >"$work/run.json" &&
        is "$(states)" '{"DONE": 8}'
}
tap_ok "rows that a broken source left are tried again by cause" retried_by_cause
itunes_instead() {
    sources=deezer,itunes
    some 132 30 | sourced "$work/itunes" /nodata fetch.limit.127.0.0.1=off
    sources=
    # iTunes has no preview for every fiftieth song.
    run_json "$work/itunes" && is "$(states)" '{"DONE": 29, "NO_MATCH": 1}'
}
tap_ok "what the first source does not have the second may" itunes_instead
end_pair

# ---------------------------------------------------------------- links that expire
start_pair --link-life 6
expire() {
    some 0 30 | sourced "$work/expire" "" fetch.limit.127.0.0.2=10/1
    # A link is good until 5 s before its end, so for a second: some ten previews at a time.
    run_json "$work/expire" && is "$(states)" '{"DONE": 30}' && [ "$(calls)" -gt 2 ] &&
        is "$(curl -sf "$cdn/stats" | json_get by_status)" '{"200": 30}'
}
tap_ok "links that expire while they wait are resolved again, and none is asked for in vain" expire
end_pair
tap_done
