#!/bin/sh
# extract from a full spool: previews/s by threads, CPU by step, and anonymous memory; as a ratio to
# what FFmpeg's own command line needs to decode the same seconds of audio. Then from one thread to
# two, each the best of ROUNDS taken in turn: other work on the machine slows both down.
#     tests/bench/bench_extract.sh BUILD_DIR [PREVIEWS]
set -eu
build=$1
previews=${2:-240}
distinct=24
tmp=$(mktemp -d "${TMPDIR:-/tmp}/refrain-bench.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
tests/make_audio.sh "$tmp/audio" mp3 $distinct 30

# dataset DIR key=value ...
dataset() {
    dir=$1
    shift
    rm -rf "$dir"
    mkdir -p "$dir/spool/new"
    cp conf/refrain.conf "$dir/refrain.conf"
    for pair in "$@"; do
        sed -i "s|^${pair%%=*} = .*|${pair%%=*} = ${pair#*=}|" "$dir/refrain.conf"
    done
    i=0
    while [ $i -lt "$previews" ]; do
        ln "$tmp/audio/$(printf %03d $((i % distinct))).mp3" \
            "$dir/spool/new/$(printf '%010d-TR%04d' $i $i)"
        i=$((i + 1))
    done
}
number() { # number FILE KEY
    sed -n "s/.*\"$2\": \([0-9.e+-]*\).*/\1/p" "$1"
}

# One file of all previews, so that starting the program does not count.
cat "$tmp"/audio/*.mp3 >"$tmp/all.mp3"
ffmpeg -v info -nostdin -benchmark -threads 1 -i "$tmp/all.mp3" -f s16le -c:a pcm_s16le -y /dev/null \
    2>&1 | sed -n 's/.*bench: utime=\([0-9.]*\)s.*/\1/p' | tail -n 1 >"$tmp/ffmpeg_s"
ffmpeg_ms=$(awk -v n=$distinct '{ printf "%.2f", $1 * 1000 / n }' "$tmp/ffmpeg_s")
echo "ffmpeg -threads 1, decoding 30 s of MP3: $ffmpeg_ms ms of CPU"

cores=$(nproc)
for run in "1 0" "$cores 0" "$cores 1"; do
    threads=${run% *}
    positives=${run#* }
    dataset "$tmp/ds" extract.threads="$threads" augment.positives="$positives" disk.floor=16
    "$build/bin/refrain-extract" "$tmp/ds" --json --quiet >"$tmp/json"
    awk -v n="$previews" -v t="$threads" -v p="$positives" -v ffmpeg_ms="$ffmpeg_ms" \
        -v rate="$(number "$tmp/json" tracks_per_s)" \
        -v rss="$(number "$tmp/json" rss_anon_peak_bytes)" \
        -v read="$(number "$tmp/json" read)" -v decode="$(number "$tmp/json" decode)" \
        -v clip="$(number "$tmp/json" clip)" -v resample="$(number "$tmp/json" resample)" \
        -v augment="$(number "$tmp/json" augment)" -v logmel="$(number "$tmp/json" logmel)" \
        -v encode="$(number "$tmp/json" encode)" 'BEGIN {
            all = read + decode + clip + resample + augment + logmel + encode
            printf "%d threads, %d augmented: %.1f previews/s, RssAnon peak %.0f MiB\n", t, p, rate,
                rss / 1048576
            printf "  ms of CPU a preview: read %.2f, decode %.2f, clip %.2f, resample %.2f, ",
                read * 1000 / n, decode * 1000 / n, clip * 1000 / n, resample * 1000 / n
            printf "augment %.2f, logmel %.2f, encode %.2f\n", augment * 1000 / n,
                logmel * 1000 / n, encode * 1000 / n
            printf "  decode is %.0f %% of it; all is %.2f times ffmpeg'\''s decoding alone\n",
                100 * decode / all, all * 1000 / n / ffmpeg_ms
        }'
done

ROUNDS=${ROUNDS:-4}
best() { # best THREADS: runs once more and keeps the best rate and the least CPU a preview
    dataset "$tmp/ds" extract.threads="$1" augment.positives=0 disk.floor=16
    "$build/bin/refrain-extract" "$tmp/ds" --json --quiet >"$tmp/json"
    cpu_s=0
    for step in read decode clip resample augment logmel encode; do
        cpu_s=$(awk -v a="$cpu_s" -v b="$(number "$tmp/json" $step)" 'BEGIN { print a + b }')
    done
    echo "$(number "$tmp/json" tracks_per_s) $cpu_s" >>"$tmp/rounds.$1"
}
round=0
while [ $round -lt "$ROUNDS" ]; do
    best 1
    best 2
    round=$((round + 1))
done
for threads in 1 2; do
    awk '{ if ($1 > rate) rate = $1; if (cpu == 0 || $2 < cpu) cpu = $2 } END { print rate, cpu }' \
        "$tmp/rounds.$threads"
done >"$tmp/best"
awk -v n="$previews" 'NR == 1 { rate = $1; cpu = $2 } NR == 2 {
    printf "one thread %.1f previews/s, two %.1f: %.2f times (goal 1.9 on idle cores); ", rate, $1, $1 / rate
    printf "CPU a preview %.2f and %.2f ms, %.2f times\n", cpu * 1000 / n, $2 * 1000 / n, $2 / cpu
    printf "the whole stage: %.2f ms of CPU a preview (goal 15)\n", cpu * 1000 / n
}' "$tmp/best"
