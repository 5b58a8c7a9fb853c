#!/bin/sh
# What `make install` puts where, and that `make uninstall` takes all of it away:
# tests/e2e/install.sh BUILD_DIR
. tests/e2e/lib.sh

run_make() { make --no-print-directory Q=@ B="$B" DESTDIR="$work/root" PREFIX=/usr "$@" >/dev/null; }
usr=$work/root/usr

tap_ok 'install' run_make install
for program in refrain refrain-scan refrain-fetch refrain-extract refrain-store refrain-train; do
    tap_ok "$program runs from there" "$usr/bin/$program" --version
    tap_ok "$program has a manual page" grep -q '^\.TH' "$usr/share/man/man1/$program.1"
done
tap_ok 'the front door finds its programs' "$usr/bin/refrain" store --help
tap_ok 'the example configuration' [ -s "$usr/share/doc/refrain/refrain.conf" ]
tap_ok 'the shared store library' [ -s "$usr/lib/librefrain_store.so.1" ]
for unit in refrain-fetch refrain-extract; do
    tap_ok "$unit@.service names the installed program" \
        grep -q "^ExecStart=/usr/bin/$unit " "$work/root/lib/systemd/system/$unit@.service"
done
tap_ok 'uninstall' run_make uninstall
tap_ok 'nothing is left' is "$(find "$work/root" -type f -o -type l)" ''
tap_done
