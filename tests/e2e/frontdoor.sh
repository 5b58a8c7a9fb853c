#!/bin/sh
# The front door: init, delegation, supervision, status, report.
# The supervisor is tried with stages that are shell scripts in a directory of their own, so that
# each way to end can be had: the supervisor itself is the real one. Usage: frontdoor.sh BUILD_DIR
set -u
build=$(cd "${1:-build}" && pwd)
tmp=$(mktemp -d)
bin=$tmp/bin
n=0
failed=0
pids=

cleanup() {
    for p in $pids; do kill -9 "$p" 2>/dev/null; done
    rm -rf "$tmp"
}
trap cleanup EXIT

# check DESCRIPTION COMMAND...: ok when the command succeeds
check() {
    what=$1
    shift
    n=$((n + 1))
    if "$@" >"$tmp/check.log" 2>&1; then
        echo "ok $n - $what"
    else
        failed=$((failed + 1))
        echo "not ok $n - $what"
        sed 's/^/# /' "$tmp/check.log" "$tmp/err" 2>/dev/null | tail -n 20
    fi
}

# rc COMMAND...: runs it, output in $tmp/out and $tmp/err, exit code in $code
rc() {
    "$@" >"$tmp/out" 2>"$tmp/err"
    code=$?
}

# until SECONDS COMMAND...: waits for a command to succeed
until_ok() {
    tries=$(($1 * 20))
    shift
    while ! "$@" 2>/dev/null; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || return 1
        sleep 0.05
    done
}

gone() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }

mkdir -p "$bin"
cp "$build/bin/refrain" "$bin/refrain"
refrain=$bin/refrain
csv=$tmp/music_info.csv
cat >"$csv" <<'CSV'
track_id,name,artist,spotify_preview_url,spotify_id,tags,genre,year,duration_ms
A,One,Ann,http://127.0.0.1:9/a.mp3,,"rock, indie",Rock,1999,200000
B,"<b>Two</b>, ""quoted""",Ben,http://127.0.0.1:9/b.mp3,,,Jazz,2001,180000
CSV

# ---------------------------------------------------------------- init
rc "$refrain" init "$tmp/new"
check "init without a CSV is exit 2" [ $code -eq 2 ]
rc "$refrain" init "$tmp/new" --csv "$tmp/none.csv"
check "init with a missing CSV is exit 2" [ $code -eq 2 ]
check "and names the file" grep -q "none.csv" "$tmp/err"
printf 'song,band\nx,y\n' >"$tmp/foreign.csv"
rc "$refrain" init "$tmp/new" --csv "$tmp/foreign.csv"
check "init with foreign columns is exit 2" [ $code -eq 2 ]
check "and names what is missing" grep -q "track_id" "$tmp/err"
rc "$refrain" init "$tmp/new" --csv "$csv" --set no.such.key=1
check "init with an unknown key is exit 2" [ $code -eq 2 ]
rc "$refrain" init "$tmp/new" --csv "$csv" --set clip.ms=many
check "init with a bad value is exit 2" [ $code -eq 2 ]
check "a refused init makes nothing" [ ! -e "$tmp/new" ]
mkdir "$tmp/full" && : >"$tmp/full/thesis.tex"
rc "$refrain" init "$tmp/full" --csv "$csv"
check "init refuses a directory with other things" [ $code -eq 2 ]
check "and leaves it alone" [ "$(ls "$tmp/full")" = thesis.tex ]

ds=$tmp/a/data\ set
rc "$refrain" init "$ds" --csv "$csv" --set seed=7 --set run.backoff=20 --set run.backoff_max=20000
check "init makes a data set, parents and blanks included" [ $code -eq 0 ]
check "the settings are in refrain.conf" grep -q '^seed = 7$' "$ds/refrain.conf"
check "the path of the CSV is absolute" grep -q "^catalog.csv = $csv\$" "$ds/refrain.conf"
before=$(cksum <"$ds/refrain.conf")
rc "$refrain" init "$ds" --csv "$csv"
check "init again changes nothing" [ $code -eq 0 -a "$(cksum <"$ds/refrain.conf")" = "$before" ]
rc "$refrain" init "$ds" --set fetch.in_flight=3
check "init --set changes one key" grep -q '^fetch.in_flight = 3$' "$ds/refrain.conf"
check "and keeps the others" grep -q '^seed = 7$' "$ds/refrain.conf"
mkdir "$ds/features.mdb"
rc "$refrain" init "$ds" --set clip.ms=5000
check "what is stored cannot be changed under a store" [ $code -eq 2 ]
rmdir "$ds/features.mdb"
mkdir "$tmp/newer" && sed 's/^version = .*/version = 99/' "$ds/refrain.conf" >"$tmp/newer/refrain.conf"
rc "$refrain" status "$tmp/newer"
check "a data set from a newer version is exit 2" [ $code -eq 2 ]
check "and says so" grep -q "newer refrain" "$tmp/err"

# ---------------------------------------------------------------- delegation
printf '#!/bin/sh\nprintf "%%s|" hello "$@"\nexit 5\n' >"$bin/refrain-hello"
chmod +x "$bin/refrain-hello"
rc "$refrain" hello 'a b' --json
check "refrain X runs refrain-X beside it" [ "$(cat "$tmp/out")" = "hello|a b|--json|" ]
check "and passes its exit code on" [ $code -eq 5 ]
mkdir "$tmp/path" && mv "$bin/refrain-hello" "$tmp/path"
rc env PATH="$tmp/path:$PATH" "$refrain" hello
check "or one in PATH" [ "$(cat "$tmp/out")" = "hello|" ]
printf '#!/bin/sh\nprintf "%%s|" "$@"\n' >"$bin/refrain-extract"
chmod +x "$bin/refrain-extract"
rc "$refrain" features x.mp3
check "features is a command of refrain-extract" [ "$(cat "$tmp/out")" = "features|x.mp3|" ]
rc "$refrain" help features
check "refrain help X is refrain X --help" [ "$(cat "$tmp/out")" = "features|--help|" ]
rc "$refrain" statsu
check "an unknown command is exit 2" [ $code -eq 2 ]
check "with a suggestion" grep -q "did you mean 'status'" "$tmp/err"

# ---------------------------------------------------------------- status before anything has run
rc "$refrain" status "$ds" --json
check "status before anything has run" [ $code -eq 0 ]
check "is zeros" python3 -c '
import json, sys
s = json.load(open(sys.argv[1]))
assert s["rows"] == s["clips"] == s["requests"] == s["throttled"] == 0, s
assert s["spool_bytes"] == s["store_bytes"] == 0 and s["causes"] == {}, s
assert s["states"]["DONE"] == 0 and "eta_s" in s, s' "$tmp/out"
rc "$refrain" status "$ds"
check "and readable for a person" grep -q "nothing has been fetched yet" "$tmp/out"
rc "$refrain" status "$tmp/nowhere"
check "status of no data set is exit 2" [ $code -eq 2 ]

# ---------------------------------------------------------------- run
stage() { # stage NAME: the script on stdin becomes refrain-NAME
    { printf '#!/bin/sh\nd=%s\n' "$tmp"; cat; } >"$bin/refrain-$1"
    chmod +x "$bin/refrain-$1"
}
patient='echo $$ >"$d/NAME.pid"; echo "$*" >"$d/NAME.args"
trap "echo x >>$d/NAME.term; exit 0" TERM
while :; do sleep 0.05; done'
patient_stage() { echo "$patient" | sed "s/NAME/$1/g" | stage "$1"; }
reset() { rm -f "$tmp"/*.pid "$tmp"/*.term "$tmp"/*.args "$tmp"/starts; }

patient_stage extract
stage fetch <<'SH'
echo x >>"$d/starts"
[ "$(wc -l <"$d/starts")" -ge 3 ]
SH
rc "$refrain" run "$ds"
check "a stage that fails twice is started three times" [ $code -eq 0 ]
check "no more and no less" [ "$(wc -l <"$tmp/starts")" -eq 3 ]
check "when all is drained extract is asked to stop, once" [ "$(wc -l <"$tmp/extract.term")" -eq 1 ]
check "extract watches the spool" grep -q -- "--watch" "$tmp/extract.args"
check "failures are logged" [ "$(grep -c 'stage failed' "$tmp/err")" -eq 2 ]

reset
mkdir -p "$ds/spool/new" "$ds/spool/bad" "$ds/spool/tmp"
: >"$ds/spool/new/0000000001-A"
stage fetch <<'SH'
exit 0
SH
"$refrain" run "$ds" 2>"$tmp/err" &
run=$!
pids="$pids $run"
until_ok 10 [ -s "$tmp/extract.pid" ]
sleep 1.2
check "run waits for a spool that is not empty" kill -0 $run
rm "$ds/spool/new/0000000001-A"
wait $run
check "and ends when it is" [ $? -eq 0 ]

reset
stage fetch <<'SH'
until [ -s "$d/extract.pid" ]; do sleep 0.05; done
exit 2
SH
rc "$refrain" run "$ds"
check "a stage that finds the configuration wrong ends the run with 2" [ $code -eq 2 ]
check "and the other stage is drained" [ -s "$tmp/extract.term" ]

reset
stage fetch <<'SH'
echo x >>"$d/starts"
kill -SEGV $$
SH
"$refrain" init "$ds" --set run.attempts=4 >/dev/null
rc "$refrain" run "$ds"
check "a stage that always crashes ends the run with 1" [ $code -eq 1 ]
check "after run.attempts starts" [ "$(wc -l <"$tmp/starts")" -eq 4 ]
check "the signal is named" grep -q "signal=SEGV" "$tmp/err"

reset
patient_stage fetch
"$refrain" run "$ds" 2>"$tmp/err" &
run=$!
pids="$pids $run"
until_ok 10 [ -s "$tmp/fetch.pid" -a -s "$tmp/extract.pid" ]
rc "$refrain" run "$ds"
check "a second run on the same data set is exit 1" [ $code -eq 1 ]
check "and says who has it" grep -q "held by process $run" "$tmp/err"
rc "$refrain" status "$ds"
check "status works while the stages run" [ $code -eq 0 ]
kill -TERM $run
wait $run
check "SIGTERM drains and is exit 0" [ $? -eq 0 ]
check "each stage saw it once" [ "$(cat "$tmp/fetch.term" "$tmp/extract.term" | wc -l)" -eq 2 ]

reset
"$refrain" run "$ds" --watch 2>"$tmp/err" &
run=$!
pids="$pids $run"
until_ok 10 [ -s "$tmp/fetch.args" -a -s "$tmp/extract.pid" ]
check "run --watch hands it to fetch" grep -q -- "--watch" "$tmp/fetch.args"
fetch=$(cat "$tmp/fetch.pid")
extract=$(cat "$tmp/extract.pid")
pids="$pids $fetch $extract"
kill -KILL $run
wait $run 2>/dev/null
check "kill -9 of the supervisor ends fetch" until_ok 10 gone "$fetch"
check "and extract" until_ok 10 gone "$extract"

reset
stage extract <<'SH'
n=0
trap 'n=$((n + 1)); echo x >>"$d/extract.term"; [ $n -lt 2 ] || exit 1' TERM
echo $$ >"$d/extract.pid"
while :; do sleep 0.05; done
SH
# as our programs do: the first SIGTERM drains, the second ends
"$refrain" run "$ds" 2>"$tmp/err" &
run=$!
pids="$pids $run"
until_ok 10 [ -s "$tmp/fetch.pid" -a -s "$tmp/extract.pid" ]
extract=$(cat "$tmp/extract.pid")
pids="$pids $extract"
kill -TERM $run
until_ok 10 [ -s "$tmp/extract.term" ]
check "a stage may take its time to drain" kill -0 $run
kill -TERM $run
check "a second SIGTERM ends the supervisor" until_ok 10 gone $run
check "and with it the stage" until_ok 10 gone "$extract"

reset
stage extract <<'SH'
trap '' TERM
echo $$ >"$d/extract.pid"
while :; do sleep 0.05; done
SH
stage fetch <<'SH'
until [ -s "$d/extract.pid" ]; do sleep 0.05; done
exit 0
SH
"$refrain" init "$ds" --set run.drain=300 >/dev/null
rc "$refrain" run "$ds"
check "a stage that does not stop is killed" gone "$(cat "$tmp/extract.pid")"
check "and that is exit 1" [ $code -eq 1 ]

reset
patient_stage extract
rm "$bin/refrain-fetch"
rc env PATH=/usr/bin:/bin "$refrain" run "$ds"
check "a stage that is not there is exit 2" [ $code -eq 2 ]
check "and is named" grep -q "cannot run refrain-fetch" "$tmp/err"

# ---------------------------------------------------------------- report
rc "$refrain" report "$ds" -o "$tmp/report.html"
check "report before anything has run" [ $code -eq 0 ]
check "is well-formed, stands alone, runs nothing" python3 - "$tmp/report.html" <<'PY'
import sys, html.parser, xml.etree.ElementTree as ET
text = open(sys.argv[1], encoding="utf-8").read()
ET.fromstring(text.replace("<!DOCTYPE html>", "", 1))
class P(html.parser.HTMLParser):
    def handle_starttag(self, tag, attrs):
        assert tag not in ("script", "link", "iframe", "object", "embed"), tag
        for k, v in attrs:
            assert not k.startswith("on"), (tag, k)
            if k in ("href", "src", "srcset", "action", "data", "poster"):
                assert v.startswith(("data:image/", "#")), (tag, k, v[:80])
P().feed(text)
style = text[text.index("<style>"):text.index("</style>")]
assert "url(" not in style and "@import" not in style
PY
rc "$refrain" report "$ds" -o "$tmp/no/such/dir/report.html"
check "a report that cannot be written is exit 1" [ $code -eq 1 ]

echo "1..$n"
[ $failed -eq 0 ]
