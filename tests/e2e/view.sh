#!/bin/sh
# Any stored positive can be made again from the record that `store get --json` prints: its f32
# values are those of `features --augment-record`, bit for bit; and nothing but it is made.
#     tests/e2e/view.sh BUILD_DIR
. "$(dirname "$0")/lib.sh"

# every transform with a parameter, both modes of the phase vocoder
chain='gaussian_noise(0.001,0.015) time_stretch(0.8,1.25,p=0.5,mode=librosa-f32) pitch_shift(-4,4,p=0.5)'
chain="$chain gain(-5,5) gaussian_snr(5,10) clipping(10,30,p=0.5) shift(-0.5,0.5,p=0.5) polarity(p=0.5)"
chain="$chain band_pass(200,4000,0.5,1.99,2,4,p=0.5) reverb(0.2,1.5,-20,0,p=0.5)"

mkdir "$work/audio"
tests/make_audio.sh "$work/audio" mp3 3 12
ffmpeg -v error -nostdin -y -i "$work/audio/002.mp3" -t 3 "$work/short.mp3"
mv "$work/short.mp3" "$work/audio/002.mp3"
# dataset DIR key=value...
dataset() {
    dir=$1
    shift
    mkdir -p "$dir/spool/new"
    cp conf/refrain.conf "$dir/refrain.conf"
    for pair in disk.floor=16 store.dtype=f32 augment.positives=3 "augment.chain=$chain" "$@"; do
        sed -i "s|^${pair%%=*} = .*|${pair%%=*} = ${pair#*=}|" "$dir/refrain.conf"
    done
    for i in 0 1 2; do
        cp "$work/audio/00$i.mp3" "$dir/spool/new/000000000$i-TR000$i"
    done
}
# words BYTES_OF_HEADER FILE: a float's bits a line
words() {
    tail -c +$(($1 + 1)) "$2" | od -An -v -tx4 -w4 | tr -d ' '
}
# same_view GOT WANT FRAMES MELS: GOT is (mels, frames), WANT (frames, mels); headers are 128 bytes
same_view() {
    words 128 "$2" | awk -v r="$3" -v c="$4" \
        '{ v[NR] = $1 } END { for (j = 1; j <= c; j++) for (i = 0; i < r; i++) print v[i * c + j] }' \
        >"$work/want.hex"
    words 128 "$1" >"$work/got.hex"
    [ -s "$work/got.hex" ] && cmp "$work/got.hex" "$work/want.hex"
}
# remade DIR TRACK VIEW FRAMES MELS OPTION...
remade() {
    dir=$1 track=$2 view=$3 frames=$4 mels=$5
    shift 5
    "$refrain" store get "$dir" "TR000$track" --view "$view" -o "$work/want.npy" --json \
        >"$work/view.json" &&
        "$refrain" features "$work/audio/00$track.mp3" -o "$work/got.npy" \
            --augment-record "$work/view.json" "$@" &&
        same_view "$work/got.npy" "$work/want.npy" "$frames" "$mels"
}

dataset "$work/plain" clip.short=pad
tap_ok "a store of clips and positives" "$refrain" extract "$work/plain"
for view in 0 1 2 3; do
    tap_ok "view $view is made again" remade "$work/plain" 0 "$view" 431 128
done
tap_ok "of another track" remade "$work/plain" 1 1 431 128
tap_ok "of a padded one" remade "$work/plain" 2 1 431 128
"$refrain" store get "$work/plain" TR0000 --view 1 --json >"$work/one.json"
tap_ok "the record may be an argument" "$refrain" features "$work/audio/000.mp3" -o "$work/again.npy" \
    --augment-record "$(cat "$work/one.json")"

dataset "$work/odd" clip.ms=3333 features.n_mels=40 features.hop=300 augment.epoch=2
tap_ok "a store of other conventions" "$refrain" extract "$work/odd"
tap_ok "--like takes them from the data set" remade "$work/odd" 1 2 245 40 --like "$work/odd"

# Other features go into a store as the log-mel does.
for kind in "mfcc 20" "chroma 12" "tempogram 384" "cqt 84"; do
    name=${kind% *} rows=${kind#* }
    dataset "$work/$name" features.kind="$name" clip.ms=8000 augment.positives=1
    tap_ok "a store of $name" "$refrain" extract "$work/$name"
    tap_ok "a clip is made again" remade "$work/$name" 0 0 345 "$rows" --like "$work/$name"
    tap_ok "and a positive" remade "$work/$name" 0 1 345 "$rows" --like "$work/$name"
done
dataset "$work/eight" features.kind=cqt store.dtype=u8
dataset "$work/more" features.kind=cqt features.n_mels=40

refused() { # refused CODE TEXT COMMAND...
    code=$1 text=$2
    shift 2
    "$@" >"$work/refused" 2>&1
    got=$?
    cat "$work/refused"
    [ "$got" = "$code" ] && grep -q -- "$text" "$work/refused"
}
tap_ok "8 bits do not hold them" refused 2 "set store.dtype = f32" "$refrain" extract "$work/eight"
tap_ok "they have no settings" refused 2 "leave features.preset" "$refrain" extract "$work/more"
tap_ok "other conventions are refused" refused 2 "give --like DIR" \
    "$refrain" features "$work/audio/001.mp3" -o "$work/no.npy" --augment-record "$work/one.json" --preset librosa-0.8
tap_ok "another file is refused" refused 1 "is not what the view was made of" \
    "$refrain" features "$work/audio/001.mp3" -o "$work/no.npy" --augment-record "$work/one.json"
tap_ok "a record without augment is refused" refused 1 'there is no "augment"' \
    "$refrain" features "$work/audio/001.mp3" -o "$work/no.npy" --augment-record '{"track": 1}'
tap_ok "an unknown transform is refused" refused 2 'there is no transform "fly"' \
    "$refrain" features "$work/audio/001.mp3" -o "$work/no.npy" --augment-record '{"augment": "fly x=1"}'
tap_ok "and both together" refused 2 "give one" \
    "$refrain" features "$work/audio/001.mp3" -o "$work/no.npy" --kind mfcc --like "$work/odd"
tap_ok "nothing was written" test ! -e "$work/no.npy"
tap_done
