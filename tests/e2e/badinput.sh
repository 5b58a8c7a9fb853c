#!/bin/sh
# Bad input as it is met in the wild, a test for each kind: a catalogue of all of them is fetched in
# one run, and each test looks at what became of its rows.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
corpus=$work/corpus
set_dir=$work/set
mkdir -p "$corpus/previews" "$set_dir"

# Previews that look like MP3: of 2.6 s, half of which ends within a frame, and one of half a second.
# The server looks names up as they are asked for: percent-encoded.
python3 - "$corpus/previews" <<'EOF'
import random, sys
rng = random.Random(1)
def frames(n):
    return b"".join(b"\xff\xfb\x70\xc4" + rng.randbytes(309) for _ in range(n))
for name in ("p1", "a%20b", "%C3%A4", "%2541"):
    open(f"{sys.argv[1]}/{name}", "wb").write(frames(101))
open(f"{sys.argv[1]}/blip", "wb").write(frames(20))
open(f"{sys.argv[1]}/cover", "wb").write(b"ID3\x03\0\0\0\x04\0\0" + bytes(65536) + frames(100))
EOF
start_previewd
at=http://127.0.0.1:$previewd_port
# n makes each link another one.
python3 - "$at" >"$set_dir/m.csv" <<'EOF'
import sys
at, out, n = sys.argv[1], sys.stdout.buffer, 0

def row(track, link, name="Name"):
    global n
    n += 1
    mark = f"?n={n}" if link.startswith(at) and "#" not in link and "?" not in link else ""
    out.write(f"{track},{name},Artist,{link}{mark}\r\n".encode())

out.write(b"\xef\xbb\xbfTrack_ID,Name,Artist,Spotify_Preview_URL\r\n")
for i, link in enumerate(("", "nan", "NaN", "None", "null", "NULL", "\\N", "  ", "n/a", "-")):
    row(f"none{i}", link)
for i, link in enumerate(("ftp://127.0.0.1/a", "http//no-colon/x", "http:///p1", "//host/p1", "p1", "javascript:alert(1)",
                          f"http://user:word@127.0.0.1/p1", "http://[::1/p1", "http://a..b/p1")):
    row(f"nolink{i}", link)
row("blank", f"{at}/x/a b")
row("utf8", f"{at}/x/ä")
row("percent", f"{at}/x/%2541")
row("control", f'"{at}/x/p1\t"')
row("fragment", f"{at}/x/p1?n=frag#t=10")
row("upper", at.replace("http", "HTTP") + "/x/p1?n=upper")
row("quoted", f"{at}/x/p1", '"A ""name"", with\r\na line end"')
out.write(b'lone,"Name,Artist,' + f"{at}/x/p1?n=l\r\n".encode())
out.write(b"few,Name\r\n")
out.write(f"many,Name,Artist,{at}/x/p1?n=m,five\r\n".encode())
out.write(b"nul\0,Name,Artist,x\r\n")
out.write(b"latin1,Caf\xe9,Artist,x\r\n")
out.write(b"huge," + b"x" * 70000 + b",Artist,x\r\n")
out.write(b",Name,Artist,x\r\n")
row("afterall", f"{at}/x/p1")
row("twice", f"{at}/x/p1?n=twice")
row("twice", f"{at}/x/p1?n=twice")
row("lent", "nan")
row("lent", f"{at}/x/p1?n=lent")
for track, links in (("spare", ("404/p1", "p1")), ("spares", ("410/p1", "html/p1", "p1")), ("spent", ("html/p1", "404/p1")),
                     ("unspared", ("p1", "404/p1")), ("again", ("404/p1", "404/p1"))):
    for link in links:
        row(track, f"{at}/x/{link}?n=" + (track if track == "again" else f"{track}{link[0]}"))
row("shared1", f"{at}/x/p1?n=shared")
row("shared2", f"{at}/x/p1?n=shared")
for kind in ("html", "json", "xml", "empty", "mislabelled", "octets", "404", "410", "403xml", "status-401", "redirect-4",
             "redirect-9", "loop", "badlocation", "gzipped", "brotli", "encoded", "encoded-gzip", "truncated", "chunkcut", "reset", "quietcut",
             "quietcut-chunked", "halved", "scrambled", "unframed", "chunked", "overlong", "twolengths", "http10", "goodbye",
             "hangup", "slow-600", "loris-20", "hang", "endless", "status-500", "status-503", "r500x1", "r503x1"):
    row(kind, f"{at}/x/{kind}/p1")
row("blip", f"{at}/x/blip")
row("cover", f"{at}/x/cover")
row("private", "http://127.0.0.9:9/p1")
row("lastline", f"{at}/x/p1")
EOF
truncate -s -2 "$set_dir/m.csv" # no line end behind the last line
printf '%s\n' "catalog.csv = m.csv" "fetch.allow_private = on" "fetch.limit.default = off" "fetch.attempts = 2" \
    "fetch.backoff = 20" "fetch.timeout = 1500" "fetch.low_speed_time = 1" "fetch.max_bytes = 200000" \
    "fetch.preview_ms = 2500" "disk.floor = 1" >"$set_dir/refrain.conf"
fetched() { timeout 120 "$B/bin/refrain-fetch" "$set_dir" --quiet 2>"$work/fetch.log"; }
tap_ok "a catalogue of everything bad is fetched to its end" fetched
"$refrain" status "$set_dir" --rows "$work/rows.csv" >/dev/null

# ends NAME ID=STATE[:CAUSE]...: every row of that id ended so; * stands for any end of the id.
# first_ends: the first one did, and the further ones are DUP. Noted here, looked at by judge.
ends() { note all "$@"; }
first_ends() { note first "$@"; }
note() {
    printf '%s' "$1" >>"$work/wanted"
    shift
    printf '\t%s' "$@" >>"$work/wanted"
    echo >>"$work/wanted"
}

# judge: a test for each line that was noted, by one process: it says "ok" or what was found.
judge() {
    python3 - "$work/rows.csv" "$work/wanted" >"$work/judged" <<'EOF'
import csv, fnmatch, sys
rows = [(r["track_id"], r["state"] + (":" + r["cause"] if r["cause"] else ""))
        for r in csv.DictReader(open(sys.argv[1], encoding="utf-8"))]
for line in open(sys.argv[2], encoding="utf-8"):
    kind, name, *wants = line.rstrip("\n").split("\t")
    wrong = []
    for want in wants:
        track, _, end = want.partition("=")
        found = [e for t, e in rows if fnmatch.fnmatchcase(t, track)]
        others = {"DUP:same_track_id"} if kind == "first" else {end}
        if not found or found[0] != end or set(found[1:]) - others or (kind == "first" and len(found) == 1):
            wrong.append(f"{track}: {found}, want {end}")
    print(name, "; ".join(wrong) or "ok", sep="\t")
EOF
    while IFS="$(printf '\t')" read -r name verdict; do
        tap_ok "$name" is "$verdict" ok
    done <"$work/judged"
    is "$(wc -l <"$work/judged")" "$(wc -l <"$work/wanted")"
}
bad_rows() {
    causes=$(python3 -c '
import csv, sys
print(*sorted(r["cause"] for r in csv.DictReader(open(sys.argv[1], encoding="utf-8")) if r["state"] == "BAD_ROW"))' "$work/rows.csv")
    is "$causes" "bad_utf8 few_fields lone_quote many_fields no_track_id nul_byte too_long"
}
ends "link missing: empty, nan, None, null, \\N, blanks" "none*=NO_MATCH:no_link"
ends "link bad: scheme, no host, user, words" "nolink*=NO_MATCH:no_link"
ends "link mended: blank, UTF-8, percent, control character, fragment, upper case" blank=DONE utf8=DONE percent=DONE \
    control=DONE fragment=DONE upper=DONE
tap_ok "CSV: lone quote, ragged, NUL, bad UTF-8, huge field, no id cost their line" bad_rows
ends "CSV: byte order mark, CR LF, case of columns, quoted quotes and line ends, no last line end" quoted=DONE \
    afterall=DONE lastline=DONE
first_ends "duplicate id: the second is DUP, and lends its link to a first one without" twice=DONE lent=DONE
first_ends "duplicate id with other links: one after the other is tried until one is good" \
    spare=DONE spares=DONE spent=GONE:http_404 unspared=DONE again=GONE:http_404
asked() { previewd_stats | python3 -c '
import json, sys
paths = json.load(sys.stdin)["by_path_status"]
print(*(sum(paths[f"/x/{path}"].values()) for path in sys.argv[1:]))' "$@"; }
tap_ok "and none is asked for twice, or without need" is "$(asked 404/p1 410/p1)" "4 2"
ends "same link under two ids: one fetch" shared1=DONE shared2=DUP:same_link
ends "200 with HTML, JSON or XML" html=REJECTED:html json=REJECTED:json xml=REJECTED:xml
ends "wrong or missing content type: the bytes count" mislabelled=DONE octets=DONE
ends "404 and 410" 404=GONE:http_404 410=GONE:http_410
ends "401 and 403 with an XML error" status-401=DEAD:http_401 403xml=DEAD:http_403
ends "redirects: chain, too many, loop, to no link" redirect-4=DONE redirect-9=DEAD:redirects loop=DEAD:redirects \
    badlocation=DEAD:redirect_refused
# As the library of curl and of fetch can or cannot.
brotli_end=REJECTED:encoding
! curl --version | grep -qi brotli || brotli_end=DONE
ends "gzip and brotli on media that nobody asked for; an unknown encoding, and one that is not there" gzipped=DONE \
    brotli=$brotli_end encoded=REJECTED:encoding encoded-gzip=REJECTED:encoding
ends "truncated: less than Content-Length, chunks cut, reset" truncated=DEAD:truncated chunkcut=DEAD:truncated \
    reset=DEAD:truncated
ends "truncated without Content-Length, and with chunks that end well" quietcut=REJECTED:cut \
    quietcut-chunked=REJECTED:cut
ends "truncated at the source: its length is right" halved=REJECTED:cut
ends "right length, wrong bytes" scrambled=REJECTED:damaged
ends "framing: none, chunked, HTTP/1.0, closed after each" unframed=DONE chunked=DONE http10=DONE goodbye=DONE
ends "zero length, less than a second" empty=REJECTED:empty blip=REJECTED:short
ends "a cover picture before the audio" cover=DONE
ends "slow, byte by byte, silent and endless" slow-600=DEAD:timeout loris-20=DEAD:timeout hang=DEAD:timeout \
    endless=REJECTED:too_large
ends "hung up on" hangup=DEAD:reset
ends "server errors: always, and once" status-500=DEAD:http_500 status-503=DEAD:http_503 r500x1=DONE r503x1=DONE
ends "no such host" private=DEAD:connect
judge || tap_ok "every end was looked at" false
quiet() {
    before=$(previewd_stats | json_get requests)
    fetched && is "$(previewd_stats | json_get requests)" "$before"
}
tap_ok "the same catalogue again asks nobody" quiet
lf_only() {
    tr -d '\r' <"$set_dir/m.csv" >"$work/lf.csv" && mv "$work/lf.csv" "$set_dir/m.csv" && quiet
}
tap_ok "nor with other line ends" lf_only
tap_done
