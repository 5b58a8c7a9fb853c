#!/bin/sh
# Whose melody is it? New songs that borrow 6 to 13 s of a work's melody once, transposed, in their
# own tempo and sound and over other chords: how often is the source first among all works, and is
# it as rare by chance as the E-values say? The source must be first in at least 60 of 100, and no
# E-value from 0.01 to 10 may be off by more than two where the count of unrelated pairs shows it.
#     WORKS=500 BORROWINGS=120 SEED=results-borrow-500 tests/soak/borrowed.sh build
# THREADS=1 leaves the other cores alone; CORPUS=DIR takes a corpus that is composed already.
set -eu
. "$(dirname "$0")/../e2e/lib.sh"
works=${WORKS:-60}
borrowings=${BORROWINGS:-60}
seed=${SEED:-soak-borrow}
threads=${THREADS:-2}
if [ -n "${CORPUS:-}" ]; then
    corpus=$CORPUS
else
    corpus_make "borrowed-$seed-$works-$borrowings" --works "$works" --versions 1 --seed "$seed" \
        --borrowings "$borrowings" --borrow-seconds 6-13 --jobs "$threads"
fi
audio=$work/audio
data=$work/data
mkdir "$audio"
cut -d, -f1 "$corpus/music_info.csv" | sed 1d | awk '{ printf "%010d-%s %s\n", NR, $1, $1 }' |
    while read -r name track; do
        ln -s "$corpus/previews/$(printf %s "$track" | sha1sum | cut -d' ' -f1)" "$audio/$name"
    done
quietly() { "$@" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log"
    exit 1
}; }
quietly "$refrain" init "$data" --csv "$corpus/music_info.csv"
quietly "$refrain" match "$data" --sequences --audio "$audio" --threads "$threads"
measure() {
    "$refrain" eval "$data" --by align --groups "$corpus/truth.csv" \
        --segments "$corpus/segments.csv" --threads "$threads" --json >"$work/eval.json"
}
tap_ok "eval --by align" measure
tap_ok "the source of a borrowed melody is first" python3 - "$work/eval.json" <<'PY'
import json, sys
m = json.load(open(sys.argv[1]))
sys.exit(m["passages"] > 0 and m["first"]["value"] < 0.6)
PY
tap_ok "E-values are true within a factor of two" python3 - "$work/eval.json" <<'PY'
import json, sys
m = json.load(open(sys.argv[1]))
off = [t for t in m["by_evalue"] if 0.01 <= t["evalue"] <= 10 and
       (t["unrelated"]["lo"] > 2 * t["expected"] or t["unrelated"]["hi"] < t["expected"] / 2)]
sys.exit(f"off: {off}" if off else 0)
PY
python3 - "$work/eval.json" <<'PY'
import json, sys
m = json.load(open(sys.argv[1]))
show = lambda f: f"{f['value']:.3f} [{f['lo']:.3f}, {f['hi']:.3f}]"
print(f"# {m['songs']} songs, {m['passages']} of them with a borrowed passage")
for key in ("first", "first_5", "located", "overlap"):
    if m["passages"]:
        print(f"# {key:8} {show(m[key])}")
for t in m["by_evalue"]:
    print(f"# E {t['evalue']:<6g} unrelated a query {show(t['unrelated'])}, promised {t['expected']:.4f}")
PY
tap_done
