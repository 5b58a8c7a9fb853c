# Shared by the end-to-end tests; sourced. Needs the build directory in $1 or $B and runs from the
# repository's root. Sets: refrain (the front door), work (a folder that goes away at the end).
# Everything started is remembered by pid and ended at the end, nothing else is.
set -eu
cd "$(dirname "$0")/../.."
B=${1:-${B:-build}}
case $B in /*) ;; *) B=$PWD/$B ;; esac
refrain=$B/bin/refrain
work=$(mktemp -d "${TMPDIR:-/tmp}/refrain-e2e.XXXXXX")
pids=
tap_n=0
tap_failed=0

cleanup() {
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    for pid in $pids; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP

# ---------------------------------------------------------------- TAP
# tap_ok NAME COMMAND...: the command's success decides; its output is shown as comments.
tap_ok() {
    tap_name=$1
    shift
    tap_n=$((tap_n + 1))
    if "$@" >"$work/tap.out" 2>&1; then
        echo "ok $tap_n - $tap_name"
    else
        tap_failed=$((tap_failed + 1))
        sed 's/^/#   /' "$work/tap.out" | tail -n 60
        echo "# failed: $*"
        echo "not ok $tap_n - $tap_name"
    fi
}

tap_done() {
    echo "1..$tap_n"
    exit $((tap_failed > 0))
}

# is GOT WANT: says both when they differ.
is() {
    [ "$1" = "$2" ] || {
        echo "got  $1"
        echo "want $2"
        return 1
    }
}

# ---------------------------------------------------------------- corpus and server
# corpus_make NAME OPTION...: composes into the build directory, once; $corpus is where it lies.
corpus_make() {
    corpus=$B/corpus/$1
    shift
    nice python3 tests/corpus/compose.py --base-url http://corpus.invalid -o "$corpus" "$@" \
        2>"$work/compose.log" || {
        cat "$work/compose.log" >&2
        exit 1
    }
}

# corpus_csv: the catalogue with its links pointing at the running server. The bytes may be no text.
corpus_csv() {
    LC_ALL=C sed "s|http://corpus.invalid|http://127.0.0.1:$previewd_port|" "$corpus/music_info.csv"
}

# start_previewd OPTION...: sets previewd_port and previewd_pid.
start_previewd() {
    rm -f "$work/port"
    python3 tests/previewd/previewd.py --root "$corpus/previews" --port-file "$work/port" \
        --max-seconds 900 "$@" 2>"$work/previewd.log" &
    previewd_pid=$!
    pids="$pids $previewd_pid"
    for _ in $(seq 100); do
        [ ! -s "$work/port" ] || break
        sleep 0.1
    done
    [ -s "$work/port" ] || {
        cat "$work/previewd.log" >&2
        exit 1
    }
    previewd_port=$(cat "$work/port")
}

# The server's counts as JSON.
previewd_stats() {
    curl -sf --max-time 10 "http://127.0.0.1:$previewd_port/stats"
}

previewd_reset() {
    curl -sf --max-time 10 -X POST "http://127.0.0.1:$previewd_port/stats/reset" >/dev/null
}

# json_get PATH: the value at a.b.c of the JSON on stdin; "null" when it is missing or stdin is no
# JSON.
json_get() {
    python3 -c '
import json, sys
try:
    value = json.load(sys.stdin)
except ValueError as error:
    print("no JSON:", error, file=sys.stderr)
    value = None
for key in sys.argv[1].split("."):
    value = value.get(key) if isinstance(value, dict) else None
print(value if isinstance(value, str) else json.dumps(value))' "$1"
}

# store_root DIR: one hash over all records under their keys.
store_root() {
    "$refrain" store stat "$1" --json | json_get root
}
