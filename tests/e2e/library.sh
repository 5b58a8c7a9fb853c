#!/bin/sh
# The store as a library: what librefrain_store.so exports and needs, and a stranger's C program
# built against what `make install` puts down.
. "$(dirname "$0")/lib.sh"
so=$B/lib/librefrain_store.so
root=$work/root
mkdir -p "$root/include" "$root/lib"
# as make install does
cp store/abi.h "$root/include/refrain_store.h"
cp "$so".[0-9]* "$root/lib/"
ln -s "$(basename "$so").1" "$root/lib/librefrain_store.so"

only_our_names() {
    nm -D --defined-only "$so" | awk '{print $NF}' | grep -v '^refrain_store_' && return 1
    nm -D --defined-only "$so" | grep -q ' T refrain_store_open$'
}
every_declared_name() {
    sed -n 's/.*\(refrain_store_[a-z_]*\)(.*/\1/p' store/abi.h | grep '^refrain_store_' | sort -u |
        while read -r name; do
            nm -D --defined-only "$so" | grep -q " $name\$" || { echo "missing: $name"; exit 1; }
        done
}
needs_little() {
    readelf -d "$so" | sed -n 's/.*NEEDED.*\[\(.*\)\]/\1/p' | sort >"$work/needed"
    cat "$work/needed"
    ! grep -vE '^(libc|libm|liblmdb|libzstd|ld-linux.*|libasan|libubsan|libtsan)\.so' "$work/needed"
}
strangers_program() {
    cat >"$work/stranger.c" <<'C'
#include <refrain_store.h>
#include <stdio.h>
int main(int argc, char **argv)
{
    struct refrain_store *s;
    char why[REFRAIN_STORE_ERR_BYTES];
    if (argc != 2 || refrain_store_abi() != REFRAIN_STORE_ABI)
        return 2;
    if (refrain_store_open(argv[1], &s, why, sizeof why) != REFRAIN_STORE_OK) {
        puts(why);
        return 1;
    }
    refrain_store_close(s);
    return 0;
}
C
    gcc -std=c99 -Wall -Wextra -Wpedantic -Werror -I"$root/include" -o "$work/stranger" \
        "$work/stranger.c" -L"$root/lib" -lrefrain_store -Wl,-rpath,"$root/lib"
}
says_why() {
    "$work/stranger" "$work/nowhere" >"$work/why" && return 1
    cat "$work/why"
    grep -q "$work/nowhere/features.mdb" "$work/why"
}

tap_ok "exports refrain_store_ only" only_our_names
tap_ok "exports all that the header declares" every_declared_name
tap_ok "needs LMDB and zstd only" needs_little
tap_ok "a C99 program builds against the installed header" strangers_program
tap_ok "it opens what is not there and says why" says_why
tap_done
