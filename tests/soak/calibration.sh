#!/bin/sh
# Are E-values true? WORKS songs that have nothing to do with each other, as a data set: in all of it,
# every song a query, and in catalogues of CATALOGUES songs that are cut out of it, each with its own
# law, searched for the songs outside: that makes many queries of few songs, so that E = 0.01 can be
# counted. No E-value from 0.01 to 10 may be off by more than two where the interval shows it.
#     WORKS=1000 SEED=calibration-a tests/soak/calibration.sh build     # composing: 15 minutes
#     CORPUS="DIR1 DIR2" CATALOGUES="60 180" tests/soak/calibration.sh build
set -eu
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../e2e/lib.sh"
works=${WORKS:-200}
seed=${SEED:-soak-calibration}
threads=${THREADS:-2}
if [ -z "${CORPUS:-}" ]; then
    corpus_make "calibration-$seed-$works" --works "$works" --versions 1 --seed "$seed" \
        --jobs "$threads"
    CORPUS=$corpus
fi
data=$work/data
mkdir "$work/audio"
# One catalogue of all corpora; works of different seeds are different works.
# shellcheck disable=SC2086 # a list of folders
python3 - "$work" $CORPUS <<'PY'
import csv, hashlib, os, sys
work, *corpora = sys.argv[1:]
songs = open(work + "/songs.csv", "w")
truth = open(work + "/truth.csv", "w")
print("track_id,name,artist,spotify_preview_url", file=songs)
print("track_id,work_id", file=truth)
row = 0
for c, corpus in enumerate(corpora):
    for r in csv.DictReader(open(corpus + "/truth.csv")):
        row += 1
        track = f"{c}-{r['track_id']}"
        print(f"{track},Song {row},Band,http://127.0.0.1:9/{row}", file=songs)
        print(f"{track},{c}-{r['work_id']}", file=truth)
        name = hashlib.sha1(r["track_id"].encode()).hexdigest()
        os.symlink(os.path.abspath(f"{corpus}/previews/{name}"),
                   f"{work}/audio/{row:010d}-{track}")
PY
quietly() { "$@" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log"
    exit 1
}; }
quietly "$refrain" init "$data" --csv "$work/songs.csv"
quietly "$refrain" match "$data" --sequences --audio "$work/audio" --threads "$threads"
measure() { # OPTION...
    "$refrain" eval "$data" --by align --groups "$work/truth.csv" --threads "$threads" --json "$@" \
        >"$work/eval.json"
}
judge() { # off by more than two?
    python3 - "$work/eval.json" <<'PY'
import json, sys
m = json.load(open(sys.argv[1]))
off = [t for t in m["by_evalue"] if 0.01 <= t["evalue"] <= 10 and
       (t["unrelated"]["lo"] > 2 * t["expected"] or t["unrelated"]["hi"] < t["expected"] / 2)]
sys.exit(f"off: {off}" if off else 0)
PY
}
show() {
    python3 - "$work/eval.json" <<'PY'
import json, sys
m = json.load(open(sys.argv[1]))
if "catalogue" in m:
    print(f"# {m['catalogues']} catalogues of {m['catalogue']} songs, {m['queries']} queries")
else:
    print(f"# one library of {m['songs']} songs, each of them a query")
for t in m["by_evalue"]:
    u = t["unrelated"]
    of = f", of a catalogue {t['least']:.5f} to {t['most']:.5f}" if "least" in t else ""
    print(f"# E {t['evalue']:<6g} {u['value']:.5f} [{u['lo']:.5f}, {u['hi']:.5f}], "
          f"promised {t['expected']:.5f}: {u['value'] / t['expected']:.2f}{of}")
PY
}
tap_ok "eval" measure
tap_ok "E-values in one library are true within a factor of two" judge
show
for n in ${CATALOGUES-60}; do
    tap_ok "eval --catalogue $n" measure --catalogue "$n"
    tap_ok "E-values in catalogues of $n songs are true within a factor of two" judge
    show
done
tap_done
