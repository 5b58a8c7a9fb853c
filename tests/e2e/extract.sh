#!/bin/sh
# extract end to end: the same store with any number of threads, after any number of kills; bad
# previews set aside with their cause; one daemon a data set; a stop that loses nothing.
#     tests/e2e/extract.sh BUILD_DIR
set -u
bin=$1/bin
case $bin in /*) ;; *) bin=$PWD/$bin ;; esac
here=$PWD
tmp=$(mktemp -d /tmp/refrain-extract.XXXXXX)
child=
cleanup() {
    [ -n "$child" ] && kill -9 "$child" 2>/dev/null
    rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

count=0
check() { # check NAME COMMAND...
    name=$1
    shift
    count=$((count + 1))
    if "$@" >"$tmp/check.log" 2>&1; then
        echo "ok $count - $name"
    else
        echo "not ok $count - $name"
        sed 's/^/# /' "$tmp/check.log"
    fi
}

N=18         # previews in the spool
KILLS=12     # at random moments, while there is work
mkdir "$tmp/audio"
tests/make_audio.sh "$tmp/audio" mp3 "$N" 12
# One preview longer than a worker's own memory: 100 s of stereo are 17.6 MB of samples.
ffmpeg -v error -nostdin -y -stream_loop 8 -i "$tmp/audio/003.mp3" -t 100 -b:a 64k \
    "$tmp/audio/long.mp3"
mv "$tmp/audio/long.mp3" "$tmp/audio/003.mp3"

# dataset DIR [key=value ...]: a data set whose spool holds all previews
dataset() {
    dir=$1
    shift
    mkdir -p "$dir/spool/new"
    cp conf/refrain.conf "$dir/refrain.conf"
    set -- disk.floor=16 store.commit_clips=8 store.commit_ms=300 "$@"
    for pair in "$@"; do
        sed -i "s|^${pair%%=*} = .*|${pair%%=*} = ${pair#*=}|" "$dir/refrain.conf"
    done
    i=0
    while [ "$i" -lt "$N" ]; do
        cp "$tmp/audio/$(printf %03d "$i").mp3" "$dir/spool/new/$(printf '%010d-TR%04d' "$i" "$i")"
        i=$((i + 1))
    done
}
extract() {
    "$bin/refrain-extract" "$@"
}
stat_of() { # stat_of DIR KEY
    "$bin/refrain-store" stat "$1" --json |
        sed -n "s/.*\"$2\": *\"\{0,1\}\([0-9a-zA-Z]*\).*/\1/p" | head -n 1
}
files_in() {
    find "$1" -type f | wc -l
}
same() { # same GOT WANT
    echo "got '$1', want '$2'"
    [ -n "$1" ] && [ "$1" = "$2" ]
}
contains() { # contains FILE TEXT
    cat "$1"
    grep -q -- "$2" "$1"
}
# A number below $1, different each time.
random_below() {
    echo $(($(od -An -N2 -tu2 /dev/urandom) % $1))
}

# ------------------------------------------------------------------ the store everything is compared to
dataset "$tmp/calm" extract.threads=1
check "an undisturbed run ends with 0" extract "$tmp/calm" --json
cp "$tmp/check.log" "$tmp/calm.log"
check "it reports its clips" contains "$tmp/calm.log" "\"clips\": $((N * 2)), \"tracks\": $N, \"bad\": 0"
check "the store has them" same "$(stat_of "$tmp/calm" clips)" $((N * 2))
check "the spool is empty" same "$(files_in "$tmp/calm/spool")" 0
root=$(stat_of "$tmp/calm" root)
check "a run with nothing to do ends with 0" extract --json "$tmp/calm"
check "and changes nothing" same "$(stat_of "$tmp/calm" root)" "$root"

for threads in 2 8; do
    dataset "$tmp/t$threads" extract.threads=$threads
    check "$threads threads end with 0" extract "$tmp/t$threads"
    check "$threads threads make the same store" same "$(stat_of "$tmp/t$threads" root)" "$root"
done

dataset "$tmp/seed" seed=2
check "another seed ends with 0" extract "$tmp/seed"
check "another seed makes another store" test "$(stat_of "$tmp/seed" root)" != "$root"

# ------------------------------------------------------------------ kill -9
dataset "$tmp/killed" store.commit_clips=4
kills=0
window_ms=350 # wider after each kill that came before anything was done, as on a busy machine
while [ $kills -lt $KILLS ] && [ "$(files_in "$tmp/killed/spool/new")" -gt 0 ]; do
    before=$(files_in "$tmp/killed/spool/new")
    sed -i "s|^extract.threads = .*|extract.threads = $((1 + kills % 4))|" "$tmp/killed/refrain.conf"
    "$bin/refrain-extract" "$tmp/killed" 2>>"$tmp/killed.log" &
    child=$!
    wait_ms=$((50 + $(random_below $window_ms)))
    sleep "$((wait_ms / 1000)).$(printf %03d $((wait_ms % 1000)))"
    kill -9 "$child" 2>/dev/null
    wait "$child" 2>/dev/null
    child=
    kills=$((kills + 1))
    [ "$(files_in "$tmp/killed/spool/new")" -lt "$before" ] || window_ms=$((window_ms + 300))
done
echo "# after $kills kills $(files_in "$tmp/killed/spool/new") of $N previews are in the spool"
check "the run after the kills ends with 0" extract "$tmp/killed"
check "kills leave the same store" same "$(stat_of "$tmp/killed" root)" "$root"
check "kills leave an empty spool" same "$(files_in "$tmp/killed/spool")" 0

# Killed between a commit and the removal of its previews: they are there again, and stored.
dataset "$tmp/killed" store.commit_clips=4
check "previews that are stored already are removed" extract "$tmp/killed" --json
cp "$tmp/check.log" "$tmp/again.log"
check "and not computed again" contains "$tmp/again.log" "\"tracks\": 0, \"bad\": 0, \"skipped\": $N"
check "and leave the store as it is" same "$(stat_of "$tmp/killed" root)" "$root"
check "and the spool empty" same "$(files_in "$tmp/killed/spool")" 0

# ------------------------------------------------------------------ several clips a track
# previews are 12 s, one is 100 s: of 3 s clips 17 * 4 + 33, or 18 * 5
for policy in "all 101" "5 90"; do
    for threads in 1 2; do
        dataset "$tmp/p$threads" extract.threads=$threads clip.ms=3000 clip.policy="${policy% *}" \
            augment.chain="gain(-5,5,p=1)"
        rm -rf "$tmp/p$threads/features.mdb"
        check "clip.policy = ${policy% *} with $threads threads" extract "$tmp/p$threads"
    done
    check "stores ${policy#* } clips and positives" same "$(stat_of "$tmp/p1" clips)" $((2 * ${policy#* }))
    check "the same with two threads" same "$(stat_of "$tmp/p2" root)" "$(stat_of "$tmp/p1" root)"
    before=$(stat_of "$tmp/p1" root)
    dataset "$tmp/p1" clip.ms=3000 clip.policy="${policy% *}" augment.chain="gain(-5,5,p=1)"
    check "the same previews again" extract "$tmp/p1" --json
    cp "$tmp/check.log" "$tmp/again.log"
    check "are all there" contains "$tmp/again.log" "\"skipped\": $N"
    check "and change nothing" same "$(stat_of "$tmp/p1" root)" "$before"
done
dataset "$tmp/pad" clip.ms=15000 clip.short=pad augment.positives=0
check "clip.short = pad" extract "$tmp/pad"
check "stores tracks shorter than a clip" same "$(stat_of "$tmp/pad" clips)" "$N"

# ------------------------------------------------------------------ decoders that die
# processes_of PID: its children, theirs included
processes_of() {
    for pid in $(cat "/proc/$1/task/$1/children" 2>/dev/null); do
        echo "$pid"
        processes_of "$pid"
    done
}
dataset "$tmp/dying" extract.threads=2
"$bin/refrain-extract" "$tmp/dying" 2>"$tmp/dying.log" &
child=$!
kills=0
while kill -0 "$child" 2>/dev/null && [ $kills -lt 20 ]; do
    sleep 0.1
    set -- $(processes_of "$child") # the fork server, then its workers
    [ $# -lt 2 ] || { kill -SEGV "$2" 2>/dev/null && kills=$((kills + 1)); }
done
wait "$child"
check "a stage whose decoders are killed ends with 0" same $? 0
child=
bad=$(find "$tmp/dying/spool/bad" -type f ! -name '*.why' | wc -l)
echo "# $kills decoders killed, $bad previews set aside"
check "some were killed" test "$kills" -gt 0
check "every preview is stored or set aside" same $((bad + $(stat_of "$tmp/dying" tracks))) "$N"
check "set aside as CRASHED" same \
    "$(cat "$tmp/dying/spool/bad"/*.why 2>/dev/null | grep -vc '^CRASHED .*SIGSEGV')" 0
rm -f "$tmp/dying/spool/bad"/*.why
[ "$bad" = 0 ] || mv "$tmp/dying/spool/bad"/* "$tmp/dying/spool/new"
check "these go through another time" extract "$tmp/dying"
check "decoders that die leave the same store" same "$(stat_of "$tmp/dying" root)" "$root"

# ------------------------------------------------------------------ stop, watch, one daemon
dataset "$tmp/stop" extract.threads=2
"$bin/refrain-extract" "$tmp/stop" --watch --json >"$tmp/stop.json" 2>"$tmp/stop.log" &
child=$!
waited=0
while [ $waited -lt 100 ] && [ "$(files_in "$tmp/stop/spool/new")" = $N ]; do
    sleep 0.05
    waited=$((waited + 1))
done
extract "$tmp/stop" >"$tmp/second.log" 2>&1
check "a second daemon is refused with 1" same $? 1
check "a second daemon is told who works" contains "$tmp/second.log" "process $child"
kill -TERM "$child"
wait "$child"
check "SIGTERM ends with 0" same $? 0
child=
left=$(files_in "$tmp/stop/spool/new")
stored=$(stat_of "$tmp/stop" tracks)
check "every preview is in the spool or in the store" same $((left + stored)) $N
check "the rest is done later" extract "$tmp/stop"
check "a stop leaves the same store" same "$(stat_of "$tmp/stop" root)" "$root"

dataset "$tmp/watch" keep_audio=on
mkdir "$tmp/late"
mv "$tmp/watch/spool/new"/*5 "$tmp/late"
"$bin/refrain-extract" "$tmp/watch" --watch 2>"$tmp/watch.log" &
child=$!
sleep 0.3
mv "$tmp/late"/* "$tmp/watch/spool/new"
waited=0
while [ $waited -lt 300 ] && [ "$(files_in "$tmp/watch/spool/new")" != 0 ]; do
    sleep 0.1
    waited=$((waited + 1))
done
kill -TERM "$child"
wait "$child"
check "a watching daemon stops with 0" same $? 0
child=
check "a watching daemon takes what comes later" same "$(stat_of "$tmp/watch" root)" "$root"
check "keep_audio keeps the previews" same "$(files_in "$tmp/watch/audio")" $N

# ------------------------------------------------------------------ bad previews
dataset "$tmp/bad"
rm "$tmp/bad/spool/new"/*
put() { # put ROW FILE
    cp "$2" "$tmp/bad/spool/new/$(printf '%010d-TR%04d' "$1" "$1")"
}
ffmpeg -v error -nostdin -y -f lavfi -i anullsrc=r=44100:cl=stereo:d=12 "$tmp/audio/silent.mp3"
ffmpeg -v error -nostdin -y -i "$tmp/audio/000.mp3" -t 9 "$tmp/audio/short.mp3"
head -c 60000 "$tmp/audio/001.mp3" >"$tmp/audio/cut.mp3"
printf '<!DOCTYPE html><title>404</title>' >"$tmp/audio/page.mp3"
: >"$tmp/audio/empty.mp3"
head -c 9000000 /dev/zero >"$tmp/audio/huge.mp3"
put 1 "$tmp/audio/silent.mp3"
put 2 "$tmp/audio/short.mp3"
put 3 "$tmp/audio/cut.mp3"
put 4 "$tmp/audio/page.mp3"
put 5 "$tmp/audio/empty.mp3"
put 6 "$tmp/audio/huge.mp3"
put 7 "$tmp/audio/000.mp3"
check "bad previews do not stop the stage" extract "$tmp/bad"
check "the good one is stored" same "$(stat_of "$tmp/bad" tracks)" 1
check "the bad ones are set aside" same "$(find "$tmp/bad/spool/bad" -type f ! -name '*.why' | wc -l)" 6
row=1
for cause in SILENT TOO_SHORT CORRUPT NOT_AUDIO EMPTY TOO_LONG; do
    check "row $row: $cause" contains \
        "$tmp/bad/spool/bad/$(printf '%010d-TR%04d' $row $row).why" "^$cause "
    row=$((row + 1))
done

# ------------------------------------------------------------------ refusals
sed -i 's|^clip.ms = .*|clip.ms = 5000|' "$tmp/calm/refrain.conf"
extract "$tmp/calm" >"$tmp/recipe.log" 2>&1
check "a store of another recipe is refused with 2" same $? 2
check "the difference is shown" contains "$tmp/recipe.log" "ms=5000"
dataset "$tmp/ast" features.preset=kaldi-ast
extract "$tmp/ast" >"$tmp/ast.log" 2>&1
check "values that are no decibels do not go into 8 bits" same $? 2
check "the way out is named" contains "$tmp/ast.log" "set store.dtype = f32"
dataset "$tmp/ast" features.preset=kaldi-ast store.dtype=f32
check "but into f32" extract "$tmp/ast"
check "clips and positives" same "$(stat_of "$tmp/ast" clips)" $((2 * N))
dataset "$tmp/full" disk.floor=1000000000
extract "$tmp/full" >"$tmp/full.log" 2>&1
check "a disk below its floor stops with 1" same $? 1
check "and loses no preview" same "$(files_in "$tmp/full/spool/new")" $N
extract "$tmp/nothing" >"$tmp/usage.log" 2>&1
check "a missing data set is refused with 2" same $? 2

# ------------------------------------------------------------------ one file
check "features of a file" extract features "$tmp/audio/000.mp3" -o "$tmp/one.npy" \
    --start-ms 1000 --ms 10000 --json
check "have librosa's shape" contains "$tmp/one.npy" "'shape': (128, 431)"
check "a preset has its own" extract features "$tmp/audio/000.mp3" -o "$tmp/whisper.npy" \
    --ms 10000 --preset whisper
check "shape" contains "$tmp/whisper.npy" "'shape': (80, 1000)"
for kind in "mfcc 20" "chroma 12" "tempogram 384" "cqt 84"; do
    check "features --kind ${kind% *}" extract features "$tmp/audio/000.mp3" -o "$tmp/kind.npy" \
        --ms 10000 --kind "${kind% *}"
    check "has ${kind#* } rows" contains "$tmp/kind.npy" "'shape': (${kind#* }, 431)"
done
extract features "$tmp/audio/000.mp3" -o "$tmp/none.npy" --kind loudness >"$tmp/kind.log" 2>&1
check "an unknown kind is refused with 2" same $? 2
check "and the known ones are named" contains "$tmp/kind.log" "tempogram"
check "a picture" extract features "$tmp/audio/000.mp3" -o "$tmp/mel.png" --ms 10000
check "is a PNG" contains "$tmp/mel.png" "IHDR"
check "and an SVG" extract features "$tmp/audio/000.mp3" -o "$tmp/mel.svg" --preset whisper
check "has hertz" contains "$tmp/mel.svg" ">4096</text>"
extract features "$tmp/audio/000.mp3" -o "$tmp/none.png" --kind cqt >"$tmp/kind.log" 2>&1
check "other kinds have no picture" same $? 2
extract features "$tmp/audio/page.mp3" -o "$tmp/none.npy" >"$tmp/features.log" 2>&1
check "features of a page fail with 1" same $? 1
check "and say what it is" contains "$tmp/features.log" "NOT_AUDIO"

echo "1..$count"
cd "$here" || exit 1
