#!/bin/sh
# People's own files: a catalogue from their tags, taken over without network, with the same states,
# causes and resume as what is fetched; nothing outside the folder is read, and no file is changed.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
music=$work/music
set_dir=$work/set

# song FILE SECONDS FREQUENCY TAG...: a tone with tags.
song() {
    file=$1 seconds=$2 frequency=$3
    shift 3
    for tag in "$@"; do set -- "$@" -metadata "$tag" && shift; done
    ffmpeg -v error -nostdin -f lavfi -i "sine=frequency=$frequency:duration=$seconds" "$@" -y "$file"
}
mkdir -p "$music/Great Band/1999 – First" "$work/outside"
song "$music/Great Band/1999 – First/01 ä.mp3" 12 440 title="Größe, \"quoted\"" artist="Great Band" \
    genre=Rock date=1999-05-01
song "$music/Great Band/two.m4a" 12 550 title=Two artist="Great Band" genre=Jazz date=2001
song "$music/three.ogg" 12 660 title=Three artist=Other genre=Folk date=2010
song "$music/four.flac" 12 770 title=Four artist=Other
song "$music/five.wav" 12 880
cp "$music/three.ogg" "$music/three again.ogg"
head -c 20000 "$music/Great Band/two.m4a" >"$music/cut.m4a"
echo "some words" >"$music/readme.txt"
song "$work/outside/secret.mp3" 12 990 title=Secret
ln -s "$work/outside/secret.mp3" "$music/link out.mp3"
ln -s "$work/outside" "$music/folder out"
sums() { (cd "$music" && find . -type f -exec sha256sum {} + | sort); }
sums >"$work/sums"

catalogue() {
    "$refrain" init "$set_dir" --audio "$music" --set augment.positives=0 >"$work/init.out" 2>"$work/init.log" || {
        cat "$work/init.log"
        return 1
    }
    python3 - "$set_dir/music_info.csv" "$music" <<'PY'
import csv, sys, urllib.parse
rows = list(csv.DictReader(open(sys.argv[1], encoding="utf-8")))
found = {(r["name"], r["artist"], r["genre"], r["year"]) for r in rows}
want = {('Größe, "quoted"', "Great Band", "Rock", "1999"), ("Two", "Great Band", "Jazz", "2001"),
        ("Three", "Other", "Folk", "2010"), ("Four", "Other", "", ""), ("five", "", "", "")}
assert found == want, found ^ want
assert len(rows) == 6, len(rows)
for row in rows:
    path = urllib.parse.unquote(row["spotify_preview_url"].removeprefix("file://"))
    open(path, "rb").close()
    assert path.startswith(sys.argv[2]), path
    assert 11500 <= int(row["duration_ms"]) <= 12500, row
    assert len(row["track_id"]) == 32
ids = [r["track_id"] for r in rows if r["name"] == "Three"]
assert len(ids) == 2 and ids[0] == ids[1], ids
PY
}
tap_ok "a catalogue is made from tags, ids from bytes" catalogue
same_again() {
    cp "$set_dir/music_info.csv" "$work/first.csv"
    "$refrain" init "$set_dir" --audio "$music" >"$work/init.out" 2>&1 && cmp "$work/first.csv" "$set_dir/music_info.csv"
}
tap_ok "scanned again it is the same" same_again

status_of() { "$refrain" status "$1" --json | json_get "$2"; }
taken() {
    timeout 60 "$refrain" fetch "$set_dir" --quiet 2>"$work/fetch.log" || return 1
    is "$(status_of "$set_dir" states.DONE)" 5 && is "$(status_of "$set_dir" states.DUP)" 1 &&
        is "$(status_of "$set_dir" requests)" 0 || return 1
    find "$set_dir/spool/new" -type f -exec sha256sum {} + | cut -d' ' -f1 | sort >"$work/got"
    grep -v -e cut.m4a -e readme.txt "$work/sums" | cut -d' ' -f1 | sort -u | cmp - "$work/got"
}
tap_ok "files are taken over without a request, byte for byte" taken
extracted() {
    "$refrain" extract "$set_dir" --quiet 2>"$work/extract.log" && is "$(status_of "$set_dir" clips)" 5 &&
        sums | cmp - "$work/sums"
}
tap_ok "extract stores them, and no file of the folder has changed" extracted
grows() {
    song "$music/six.mp3" 12 333 title=Six
    "$refrain" init "$set_dir" --audio "$music" >/dev/null 2>&1 && "$refrain" fetch "$set_dir" --quiet &&
        is "$(find "$set_dir/spool/new" -type f | wc -l)" 1 && is "$(status_of "$set_dir" rows)" 7
}
tap_ok "a file that comes later is one row more" grows

# Links that somebody else wrote.
hostile() {
    mkdir -p "$work/hostile"
    cat >"$work/hostile/m.csv" <<CSV
track_id,name,artist,spotify_preview_url
good,N,A,file://$music/three.ogg
outside,N,A,file://$work/outside/secret.mp3
dots,N,A,file://$music/../outside/secret.mp3
encoded,N,A,file://$music/%2e%2e/outside/secret.mp3
symlink,N,A,file://$music/link%20out.mp3
folder,N,A,file://$music/folder%20out/secret.mp3
etc,N,A,file:///etc/passwd
gone,N,A,file://$music/gone.mp3
dir,N,A,file://$music/Great%20Band
text,N,A,file://$music/readme.txt
cut,N,A,file://$music/cut.m4a
nul,N,A,file://$music/a%00b
relative,N,A,file:three.ogg
CSV
    printf '%s\n' "catalog.csv = m.csv" "fetch.file_root = $music" "disk.floor = 1" >"$work/hostile/refrain.conf"
    "$refrain" fetch "$work/hostile" --quiet 2>"$work/fetch.log" || return 1
    "$refrain" status "$work/hostile" --rows "$work/rows.csv" >/dev/null
    cut -d, -f2-4 "$work/rows.csv" | tail -n +2 >"$work/got"
    cat >"$work/want" <<'EOT'
good,DONE,
outside,DEAD,file_refused
dots,NO_MATCH,no_link
encoded,NO_MATCH,no_link
symlink,DEAD,file_refused
folder,DEAD,file_refused
etc,DEAD,file_refused
gone,GONE,file_gone
dir,DEAD,file_unreadable
text,REJECTED,short
cut,REJECTED,cut
nul,NO_MATCH,no_link
relative,NO_MATCH,no_link
EOT
    diff "$work/want" "$work/got"
}
tap_ok "links and symlinks that leave the folder are refused" hostile
no_root() {
    mkdir -p "$work/noroot"
    cp "$work/hostile/m.csv" "$work/noroot/m.csv"
    printf '%s\n' "catalog.csv = m.csv" "disk.floor = 1" >"$work/noroot/refrain.conf"
    "$refrain" fetch "$work/noroot" --quiet 2>"$work/fetch.log"
    is "$(status_of "$work/noroot" causes.file_refused)" 9 || return 1
    echo "fetch.file_root = $music" >>"$work/noroot/refrain.conf"
    "$refrain" fetch "$work/noroot" --quiet --retry cause=file_refused 2>"$work/fetch.log"
    "$refrain" status "$work/noroot" --rows "$work/rows.csv" >/dev/null
    cut -d, -f2-4 "$work/rows.csv" | tail -n +2 | diff "$work/want" -
}
tap_ok "without fetch.file_root no file is read; --retry takes them once it is set" no_root
unplugged() {
    mkdir -p "$work/unplugged"
    cp "$work/hostile/m.csv" "$work/unplugged/m.csv"
    printf '%s\n' "catalog.csv = m.csv" "fetch.file_root = $music" "disk.floor = 1" >"$work/unplugged/refrain.conf"
    mv "$music" "$work/away"
    code=0
    "$refrain" fetch "$work/unplugged" --quiet 2>"$work/fetch.log" || code=$?
    mv "$work/away" "$music"
    is $code 1 && grep -q "is its disk there" "$work/fetch.log" && is "$(status_of "$work/unplugged" states.GONE)" 0 &&
        "$refrain" fetch "$work/unplugged" --quiet 2>"$work/fetch.log" &&
        is "$(status_of "$work/unplugged" states.DONE)" 1
}
tap_ok "a folder that is not there costs no row" unplugged
tap_done
