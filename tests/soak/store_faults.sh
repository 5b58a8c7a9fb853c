#!/bin/sh
# The crash promise a thousand times: see tests/e2e/store_faults.sh.
FAULTS=${FAULTS:-1000} exec sh "$(dirname "$0")/../e2e/store_faults.sh" "$@"
