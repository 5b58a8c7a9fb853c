#!/bin/sh
# Real music: AUDIO is a folder of recordings that have nothing to do with each other; none is kept.
# 1. Copies of each, cut, re-encoded, faster, higher, or as a microphone in a hall hears them, are
#    searched for among all recordings, and among the songs of CORPUS (tests/corpus) if it is given.
# 2. Whole recordings are compared two by two: a claim is a false alarm.
# 3. 150 pairs of pieces of 15 s of different recordings are.
# Of both: are they as good by chance as E promises? A search of two minutes of sound takes some
# seconds, six recordings among 600 songs ten minutes on an idle core.
#     AUDIO=~/music CORPUS=DIR tests/soak/recordings.sh build
set -eu
. "$(dirname "$0")/../e2e/lib.sh"
if [ -z "${AUDIO:-}" ]; then
    echo "1..0 # SKIP give AUDIO=FOLDER of recordings"
    exit 0
fi
tap_ok "real recordings" python3 tests/soak/recordings.py "$refrain" "$AUDIO" "$work" "${CORPUS:-}"
sed -n 's/^/# /p' "$work/tap.out"
tap_done
