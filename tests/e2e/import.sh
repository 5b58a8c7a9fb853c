#!/bin/sh
# refrain store import from the command line: a folder of audio, an array of numpy's, an export that
# comes back, and what is refused.
. "$(dirname "$0")/lib.sh"
tests/make_audio.sh "$work/audio" mp3 2 12

number() { sed -n "s/.*\"$2\": \"\{0,1\}\([0-9a-f.]*\).*/\1/p" "$1"; }

folder_of_audio() {
    "$refrain" store import "$work/songs" "$work/audio" &&
        "$refrain" store stat "$work/songs" --json >"$work/songs.json" &&
        is "$(number "$work/songs.json" tracks)" 2
}
comes_back() {
    "$refrain" store export "$work/songs" --format wds -o "$work/songs.tar" &&
        "$refrain" store import "$work/back" "$work/songs.tar" --json >"$work/back.json" &&
        is "$(number "$work/back.json" root)" "$(number "$work/songs.json" root)"
}
array_twice() {
    row=$("$refrain" store ls "$work/songs" | awk '$1 ~ /^[0-9]+$/ { print $1; exit }')
    "$refrain" store get "$work/songs" "$row" -o "$work/clip.npy" >"$work/get" &&
        "$refrain" store import "$work/arrays" "$work/clip.npy" --spec hop=512 --json >"$work/a.json" &&
        "$refrain" store import "$work/arrays" "$work/clip.npy" --json >"$work/b.json" &&
        is "$(number "$work/a.json" clips) $(number "$work/b.json" there)" "1 1" &&
        is "$(number "$work/a.json" root)" "$(number "$work/b.json" root)" &&
        "$refrain" store verify --deep "$work/arrays"
}
refused() {
    echo "no array" >"$work/text"
    "$refrain" store import "$work/arrays" "$work/text" 2>"$work/why" && return 1
    is $? 1
    grep -q 'it is no .npy or .npz' "$work/why"
}
other_features() {
    "$refrain" store import "$work/songs" "$work/clip.npy" --prefix other 2>"$work/why" && return 1
    is $? 2
    cat "$work/why"
    grep -q 'was made with' "$work/why"
}

tap_ok "a folder of audio becomes a data set" folder_of_audio
tap_ok "an export comes back with its root" comes_back
tap_ok "an array is imported once" array_twice
tap_ok "what is no array is refused with a sentence" refused
tap_ok "arrays do not mix with extracted features" other_features
tap_done
