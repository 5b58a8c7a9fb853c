#!/bin/sh
# The demo behind `make demo`: composes songs and covers, serves them on loopback, and takes them
# through the whole of refrain. Called with the build directory; needs nothing from the network.
#
#     DEMO_DIR=demo      where everything goes; the corpus is kept, the data set is made anew
#     DEMO_WORKS=60      compositions, each in three versions
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}
dir=${DEMO_DIR:-demo}
works=${DEMO_WORKS:-60}
limit=100/1
refrain=$build/bin/refrain
started=$(date +%s)

say() { printf '\n\033[1m%s\033[0m\n' "$*" >&2; }
[ -t 2 ] || say() { printf '\n== %s\n' "$*" >&2; }

previewd_pid=
cleanup() {
    [ -z "$previewd_pid" ] || kill "$previewd_pid" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir -p "$dir/corpus/previews"
rm -rf "$dir/dataset" "$dir/port"

python3 tests/previewd/previewd.py --root "$dir/corpus/previews" --port-file "$dir/port" \
    --limit "$limit" --rtt-ms 20 --max-seconds 3600 2>"$dir/previewd.log" &
previewd_pid=$!
for _ in $(seq 50); do
    [ ! -s "$dir/port" ] || break
    sleep 0.1
done
[ -s "$dir/port" ] || { cat "$dir/previewd.log" >&2; exit 1; }
base=http://127.0.0.1:$(cat "$dir/port")

say "1  composing $works works in three versions each ($dir/corpus)"
python3 tests/corpus/compose.py --works "$works" --versions 3 --seed 1 --jobs "$(nproc)" \
    --base-url "$base" -o "$dir/corpus"

say "2  a data set, and its previews from $base at $limit s"
"$refrain" init "$dir/dataset" --csv "$dir/corpus/music_info.csv" \
    --set fetch.allow_private=on --set "fetch.limit.default=$limit" \
    --set match.sequences=on --set train.versions=0
"$refrain" run "$dir/dataset"
"$refrain" status "$dir/dataset"
curl -sf "$base/stats" | python3 -c '
import json, sys
stats = json.load(sys.stdin)
print("the server counted", stats["requests"], "requests on", stats["connections"],
      "connections,", sum(stats["violations"].values()), "over the limit")'
"$refrain" store stat "$dir/dataset"

say "3  training; a work and its covers are on the same side of the split"
"$refrain" train "$dir/dataset" --groups "$dir/corpus/truth.csv" --epochs 20

say "4  model against baselines, on works that training never saw"
"$refrain" eval "$dir/dataset" --groups "$dir/corpus/truth.csv"

say "5  the same songs by alignment, which nobody trained: versions of a work"
"$refrain" eval "$dir/dataset" --by align --groups "$dir/corpus/truth.csv"

"$refrain" report "$dir/dataset" >/dev/null
echo
echo "report  $dir/dataset/report.html"
echo "model   $dir/dataset/models/"
echo "songs   $dir/corpus/previews/, named in $dir/corpus/music_info.csv"
echo "all in  $(($(date +%s) - started)) s"
