#!/bin/sh
# The house of docs/ARCHITECTURE.md: fails on an #include that a room may not have, and on a foreign
# library touched by another file than its own.
set -eu
cd "$(dirname "$0")/.."
bad=0

# room: rooms it may include besides itself
allow() {
    room=$1
    shift
    pattern="^$room/"
    for other in "$@"; do
        pattern="$pattern|^$other/"
    done
    found=$(grep -nE '^ *# *include "' "$room"/*.[ch] 2>/dev/null |
        sed -E 's/^([^:]+:[0-9]+):.*"([^"]+)".*/\2 \1/' | grep -vE "$pattern" || true)
    if [ -n "$found" ]; then
        echo "$found" | sed "s|^|layers: $room may not include |" >&2
        bad=1
    fi
}
allow base
allow conf base
allow ingest base
allow features base
allow store base
allow train base store
allow match base features store
allow programs base conf ingest features store train match

# library header: files that may include it
only() {
    header=$1
    shift
    allowed=$(printf '|^%s:' "$@")
    found=$(grep -nE "^ *# *include <$header" ./*/*.[ch] | sed 's|^\./||' |
        grep -vE "${allowed#|}" || true)
    if [ -n "$found" ]; then
        echo "$found" | sed "s|^|layers: <$header> belongs to $*: |" >&2
        bad=1
    fi
}
only 'curl/' ingest/fetch.c
only 'csv.h' ingest/csv.c
only 'jansson' ingest/source_page.c
only 'utf8proc' ingest/title.c
only 'lib(av|sw)' ingest/media.c ingest/digest.c
only 'seccomp' ingest/confine.c
only 'soxr' features/resample.c
only 'dnnl|oneapi' 'train/dnn.*\.[ch]'
only 'zstd' store/frame.c
only 'lmdb' ingest/catalog.c 'store/.*\.[ch]'

exit $bad
