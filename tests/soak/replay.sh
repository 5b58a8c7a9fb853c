#!/bin/sh
# The whole data set on a virtual clock: 50,683 rows of 8,317 artists through Deezer, 42 hours of
# iTunes, and restarts. About fifteen seconds of an idle core.
set -eu
cd "$(dirname "$0")/../.."
B=${1:-${B:-build}}
REPLAY=full exec "$B/tests/unit/ingest/test_replay"
