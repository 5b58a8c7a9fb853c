#!/bin/sh
# Fetch killed before, within and after each step that it takes towards the disk, and KILLS times at
# random moments: every row ends as in an undisturbed run, the previews are the same byte for byte,
# and no more is asked for twice than what was not durable. About ten minutes.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../e2e/lib.sh"
# shellcheck source=tests/faults/lib.sh
. tests/faults/lib.sh

KILLS=${KILLS:-200}
SEED=${SEED:-1}
ROWS=${ROWS:-160}

faults_begin faults "$ROWS"
echo "# undisturbed: $n_requests requests, $n_steps steps towards the disk"
sort "$faults/steps" | uniq -c | sed 's/^/# /'
tap_ok "killed before, within and after each step" die_at_each 0 1
tap_ok "most of these kills hit: $n_killed of $((3 * n_steps))" [ "$n_killed" -gt $((2 * n_steps)) ]
echo "# at most $most_asked requests with a kill"
tap_ok "killed $KILLS times at random" die_often "$KILLS" "$SEED"
tap_ok "$n_killed kills hit" [ "$n_killed" -ge "$KILLS" ]
echo "# at most $most_asked requests with up to three kills"
tap_done
