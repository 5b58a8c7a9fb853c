#!/bin/sh
# What training reaches, from songs to figures: composes WORKS works, makes a data set of them with
# eight augmented views a clip, trains, and measures the model twice: on the works that were held out
# (the best epoch was chosen on their triplets), and on songs of another seed, in three versions
# each, of which no part of the training ever saw anything. docs/RESULTS.md holds what came out.
#     tests/soak/results_train.sh build             # an hour on two cores, half of it composing
#     WORKS=100 EPOCHS=1 tests/soak/results_train.sh build
#     KEEP=DIR tests/soak/results_train.sh build    # data sets and models stay there
set -eu
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../e2e/lib.sh"
works=${WORKS:-1000}
epochs=${EPOCHS:-7}
threads=${THREADS:-0} # 1 in docs/RESULTS.md
place=${KEEP:-$work}

quietly() { "$@" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log"
    exit 1
}; }

# data_set NAME: $corpus as the data set $place/NAME, and in $place/NAME.csv the work of each track.
data_set() {
    data=$place/$1
    mkdir -p "$data.audio"
    for preview in "$corpus"/previews/*; do
        cp "$preview" "$data.audio/${preview##*/}.mp3"
    done
    quietly "$refrain" init "$data" --audio "$data.audio" --set augment.positives=8
    quietly "$refrain" run "$data"
    python3 - "$corpus/truth.csv" "$data/music_info.csv" >"$data.csv" <<'PY'
import csv, hashlib, os, sys
truth, catalogue = sys.argv[1:]
work = {hashlib.sha1(row["track_id"].encode()).hexdigest(): row["work_id"]
        for row in csv.DictReader(open(truth))}
print("track_id,work_id")
for row in csv.DictReader(open(catalogue)):
    link = next(value for value in row.values() if value and value.endswith(".mp3"))
    print(row["track_id"], work[os.path.basename(link)[:-4]], sep=",")
PY
}

# learn NAME EPOCHS STEPS SETTING=VALUE... [-- OPTION...]: AdamW, warm-up, then a cosine to 0.
learn() {
    name=$1 epochs=$2 steps=$3
    shift 3
    settings="train.batch=48 train.versions=0 train.dropout=0 train.optimizer=adamw
        train.weight_decay=0.02 train.schedule=cosine train.steps_per_epoch=$steps"
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        settings="$settings $1"
        shift
    done
    [ $# -eq 0 ] || shift
    # shellcheck disable=SC2046,SC2086 # words without blanks
    quietly "$refrain" init "$place/learn" $(printf -- '--set %s ' $settings)
    quietly "$refrain" train "$place/learn" --name "$name" --groups "$place/learn.csv" \
        --epochs "$epochs" --threads "$threads" "$@"
    sed -n "s/^trained/# $name: trained/p" "$work/log"
}

# at_least FILE WHAT LIMIT: the share that the loss is below the baseline's, or a figure.
at_least() {
    python3 - "$@" <<'PY'
import json, sys
path, what, limit = sys.argv[1:]
figures = json.load(open(path))
value = (1 - figures["triplet"]["value"] / figures["baselines"]["mel"]["triplet"]["value"]
         if what == "improvement" else figures[what]["value"])
print(f"{what} {value:.3f}, {limit} wanted")
sys.exit(value < float(limit))
PY
}

corpus_make "train-$works" --works "$works" --versions 1 --seed results-train
data_set learn
corpus_make covers-60 --works 60 --versions 3 --seed final-covers
data_set unseen

# First apart from all others, then near to the own: NT-Xent is content once the copy is nearest.
learn contrast "$epochs" 100 train.loss=ntxent train.temperature=0.1 train.learning_rate=0.002 \
    train.warmup=30
learn default 8 60 train.loss=triplet train.negatives=batch train.learning_rate=0.001 \
    train.warmup=5 -- --weights "$place/learn/models/contrast/best.safetensors"
model=$place/learn/models/default/best.safetensors
for kind in "" --json; do
    "$refrain" eval "$place/learn" $kind >"$work/held_out$kind" 2>"$work/log"
    "$refrain" eval "$place/unseen" --model "$model" --groups "$place/unseen.csv" $kind \
        >"$work/unseen$kind" 2>"$work/log"
done
for part in held_out unseen; do
    tap_ok "$part: the loss is 92 % below the spectrograms'" \
        at_least "$work/$part--json" improvement 0.92
    tap_ok "$part: a copy finds its original first" at_least "$work/$part--json" copies_r1 0.85
    sed 's/^/# /' "$work/$part"
done
tap_done
