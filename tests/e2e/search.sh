#!/bin/sh
# Search and grouping over a data set: sequences from kept audio, one song against all, all against
# all, and plain answers where something is missing.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
match=${refrain}-match
set_dir=$work/set
audio=$work/audio
mkdir -p "$audio"

# tune FILE SEED: 14 s of notes of 0.3 s drawn from a scale by a small generator.
tune() {
    python3 - "$1" "$2" <<'PY'
import math, struct, sys, wave
state, rate, notes = int(sys.argv[2]), 22050, []
for _ in range(47):
    state = (state * 1103515245 + 12345) % 2**31
    notes.append(60 + (0, 2, 4, 5, 7, 9, 11, 12)[state >> 16 & 7] + int(sys.argv[2]) % 5)
out = wave.open(sys.argv[1], "wb")
out.setparams((1, 2, rate, 0, "NONE", ""))
for note in notes:
    hz = 440 * 2 ** ((note - 69) / 12)
    out.writeframes(b"".join(struct.pack("<h", int(6000 * math.exp(-3 * i / rate) * sum(
        math.sin(2 * math.pi * hz * h * i / rate) / h for h in range(1, 6)))) for i in range(int(0.3 * rate))))
PY
}
echo "track_id,name,artist,spotify_preview_url" >"$work/songs.csv"
for i in 1 2 3 4; do
    echo "TRACK$i,Song $i,Band,http://127.0.0.1:9/$i" >>"$work/songs.csv"
    tune "$audio/000000000$i-TRACK$i" $((i * 7919))
done
cp "$audio/0000000002-TRACK2" "$audio/0000000004-TRACK4"
head -c 3000 /dev/urandom >"$audio/0000000005-NOAUDIO"
"$refrain" init "$set_dir" --csv "$work/songs.csv" >/dev/null 2>&1

no_sequences() {
    "$match" search "$set_dir" TRACK1 2>"$work/err"
    [ $? -eq 2 ] && grep -q -- --sequences "$work/err"
}
tap_ok "without sequences it says how to make them" no_sequences
sequences() {
    "$match" "$set_dir" --sequences --audio "$audio" --json 2>"$work/log" >"$work/json" &&
        grep -q '"added": 4, "there": 0, "bad": 1' "$work/json"
}
tap_ok "sequences of what is audio, the rest is named" sequences
again() {
    "$match" "$set_dir" --sequences --audio "$audio" --json 2>"$work/log" | grep -q '"added": 0, "there": 4'
}
tap_ok "a second pass adds nothing" again
search() {
    "$match" search "$set_dir" TRACK2 --json 2>"$work/log" >"$work/json" &&
        python3 - "$work/json" <<'PY'
import json, sys
hits = json.load(open(sys.argv[1]))["hits"]
assert len(hits) == 3 and hits[0]["track"] == "TRACK4" and hits[0]["evalue"] < 1e-3, hits
best = hits[0]["segments"][0]
assert best["shift_semitones"] == 0 and best["from_ms"] < 1000 and best["to_ms"] > 13000, best
PY
}
tap_ok "the same song is first, whole, at an E near zero" search
by_file() { "$match" search "$set_dir" "$audio/0000000002-TRACK2" --top 2 2>"$work/log" | grep -q TRACK; }
tap_ok "a file can be the query" by_file
unknown() { "$match" search "$set_dir" NOBODY 2>"$work/err"; [ $? -eq 2 ] && grep -q "neither" "$work/err"; }
tap_ok "an unknown query is a usage error" unknown
all() {
    "$match" "$set_dir" --all --json 2>"$work/log" | grep -q '"searched": 4' &&
        printf 'track_id,work_id\nTRACK2,G0000000002\nTRACK4,G0000000002\n' | cmp - "$set_dir/groups.csv" &&
        grep -q '^version,TRACK[24],TRACK[24],' "$set_dir/pairs.csv"
}
tap_ok "--all writes groups and pairs" all
resumed() { "$match" "$set_dir" --all --json 2>"$work/log" | grep -q '"searched": 0'; }
tap_ok "--all goes on behind what is done" resumed
tap_done
