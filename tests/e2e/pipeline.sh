#!/bin/sh
# The whole pipeline on a small catalogue with every kind of bad row: what becomes of each row, that
# the server's limit holds, that a second run asks for nothing and a longer catalogue only for its
# new rows.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"

corpus_make small --works 4 --versions 3 --seed e2e --bad
start_previewd --limit 25/1
data=$work/data
LIMIT=25/1

corpus_csv >"$work/all.csv"
# First without the last work: the catalogue grows later.
grown=$(tail -n 3 "$corpus/truth.csv" | cut -d, -f1)
LC_ALL=C grep -a -v -F "$grown" "$work/all.csv" >"$work/music_info.csv"

cat >"$work/expect.py" <<'PY'
"""expect.py EXPECTED.csv ROWS.csv [TRACK_ID...]: every row has the state and cause that it should;
the track ids given are not there yet. A row that cannot be read has no id."""
import csv
import sys
from collections import Counter

absent = set(sys.argv[3:])
def load(path):
    with open(path, newline="", encoding="utf-8") as file:
        return Counter((r["track_id"], r["state"], r["cause"]) for r in csv.DictReader(file)
                       if r["track_id"] not in absent)

want, got = load(sys.argv[1]), load(sys.argv[2])
for row, n in sorted((want - got).items()):
    print(f"missing {n}x {row}")
for row, n in sorted((got - want).items()):
    print(f"not expected {n}x {row}")
sys.exit(want != got)
PY

status() { "$refrain" status "$data" --json | json_get "$1"; }
rows_match() {
    "$refrain" status "$data" --rows "$work/rows.csv" &&
        python3 "$work/expect.py" "$corpus/expected.csv" "$work/rows.csv" "$@"
}
clips_match() { # a clip and its one augmented positive for each row that is done
    done_rows=$(status states.DONE) && is "$(status clips)" $((2 * done_rows)) &&
        is "$("$refrain" store stat "$data" --json | json_get tracks)" "$done_rows"
}
no_violation() {
    previewd_stats >"$work/stats.json"
    for kind in fixed_window fixed_window_half sliding_log token_bucket; do
        is "$kind $(json_get "violations.$kind" <"$work/stats.json")" "$kind 0" || return 1
    done
}
requests() { previewd_stats | json_get requests; }
run_quietly() {
    timeout 300 "$refrain" run "$data" >"$work/run.log" 2>&1 || {
        code=$?
        tail -n 30 "$work/run.log"
        return "$code"
    }
}

tap_ok "init" "$refrain" init "$data" --csv "$work/music_info.csv" --set fetch.allow_private=on \
    --set fetch.limit.default=$LIMIT --set fetch.attempts=2 --set fetch.backoff=50 \
    --set fetch.low_speed=2048 --set fetch.low_speed_time=2 --set fetch.timeout=20000 \
    --set augment.positives=1 --set train.validation_share=0.4 --set seed=7
tap_ok "run to the end" run_quietly
# shellcheck disable=SC2086
tap_ok "every row has its state and cause" rows_match $grown
tap_ok "each row that is done has its clips" clips_match
tap_ok "the limit was never broken" no_violation
tap_ok "requests as the server counted them" is "$(status requests)" "$(requests)"
tap_ok "the spool is empty" is "$(find "$data/spool/new" "$data/spool/tmp" -type f | wc -l)" 0
# Causes of extract are in capitals, those of fetch in small letters.
n_set_aside=$(status causes | python3 -c '
import json, sys
print(sum(n for cause, n in json.load(sys.stdin).items() if cause.isupper()))')
tap_ok "what was set aside says why" is "$(find "$data/spool/bad" -name '*.why' | wc -l)" \
    "$n_set_aside"
for key in rows states causes clips requests throttled spool_bytes store_bytes eta_s; do
    tap_ok "status --json has $key" [ "$("$refrain" status "$data" --json |
        python3 -c "import json,sys; print('$key' in json.load(sys.stdin))")" = True ]
done
tap_ok "the server throttled and it was counted" [ "$(status throttled)" -ge 3 ]
tap_ok "the store verifies" "$refrain" store verify "$data"

root=$(store_root "$data")
previewd_reset
tap_ok "run again" run_quietly
tap_ok "a second run sends no request" is "$(requests)" 0
tap_ok "and changes nothing in the store" is "$(store_root "$data")" "$root"

cp "$work/all.csv" "$work/music_info.csv"
tap_ok "run on a longer catalogue" run_quietly
tap_ok "only what is new is fetched" is "$(requests)" 3
tap_ok "and every row is as expected" rows_match
tap_ok "and has its clips" clips_match
tap_ok "and the store is another" [ "$(store_root "$data")" != "$root" ]

train() {
    timeout 300 "$refrain" train "$data" --groups "$corpus/truth.csv" --epochs 2 --batch 4 --json \
        >"$work/train.json" 2>"$work/train.log" || {
        tail -n 20 "$work/train.log"
        return 1
    }
}
model=$data/models/default
tap_ok "train" train
for key in epochs steps best_val_loss baseline_loss improvement clips_per_s loader_wait \
    peak_rss_bytes kernels; do
    tap_ok "train --json has $key" [ "$(json_get $key <"$work/train.json")" != null ]
done
tap_ok "every epoch is in metrics.csv" grep -q '^2,' "$model/metrics.csv"
tap_ok "the curves are drawn" grep -q '<svg' "$model/curves.svg"
for name in best last; do
    tap_ok "checkpoint $name.safetensors" [ -s "$model/$name.safetensors" ]
done
tap_ok "metrics.jsonl has a row an epoch and the untrained one" is "$(wc -l <"$model/metrics.jsonl")" 3
tap_ok "eval" "$refrain" eval "$data" --groups "$corpus/truth.csv"
tap_ok "eval draws the distances" grep -q '<svg' "$model/distances.svg"
"$refrain" eval "$data" --groups "$corpus/truth.csv" --json >"$work/eval.json"
for key in triplet copies_r1 two_choice auc map mr1 p1 p10 \
    baselines.mel.triplet baselines.mel_mean.triplet baselines.mfcc_mean.triplet \
    baselines.chroma.triplet baselines.chroma.map baselines.untrained.triplet; do
    tap_ok "eval --json has $key with its interval" \
        [ "$(json_get "$key.lo" <"$work/eval.json")" != null ]
done
all_are_measured() {
    stored=$("$refrain" store stat "$data" --json | json_get clips) # each with one augmented view
    "$refrain" eval "$data" --model "$1" --groups "$corpus/truth.csv" --json >"$work/eval.json" &&
        is "$(json_get n_clips <"$work/eval.json")" $((stored / 2))
}
refuses_a_model() {
    ! "$refrain" eval "$data" --model "$1" >"$work/eval.out" 2>&1 && grep -q "$1" "$work/eval.out"
}
tap_ok "eval --model, of another data set, measures every clip" all_are_measured "$model/best.safetensors"
tap_ok "eval --model refuses what is no model" refuses_a_model "$corpus/music_info.csv"

embed_counts() {
    is "$(json_get clips <"$work/embed.json")" "$("$refrain" store stat "$data" --json | json_get clips)" &&
        is "$(($(wc -l <"$work/vectors.csv") - 1))" "$(json_get clips <"$work/embed.json")" &&
        is "$(wc -c <"$work/vectors.npy")" "$((128 + 512 * $(json_get clips <"$work/embed.json")))"
}
same_file_is_nearest() {
    song=$(find "$corpus/previews" -type f | sort | head -n 1)
    "$refrain" embed "$data" --audio "$song" "$song" --json >"$work/pair.json" &&
        python3 -c 'import json, sys
pair = json.load(open(sys.argv[1]))["pairs"][0]
assert pair["cosine"] > 0.9999 and pair["percentile"] == 100, pair' "$work/pair.json"
}
"$refrain" embed "$data" -o "$work/vectors.npy" --json >"$work/embed.json"
tap_ok "embed writes a vector and an id for each clip" embed_counts
tap_ok "embed --audio: a file against itself is nearer than any two songs" same_file_is_nearest

tap_ok "report" "$refrain" report "$data" -o "$work/report.html"
tap_ok "the report is one page that loads nothing" python3 - "$work/report.html" <<'PY'
import re, sys
page = open(sys.argv[1], encoding="utf-8").read()
assert page.rstrip().endswith("</html>") and "<svg" in page
assert "cnn" in page and "baseline" in page, "the model is missing"
assert not re.search(r'(src|href)="(?!#|data:)', page), "something is loaded from elsewhere"
PY
kill "$previewd_pid"
tap_done
