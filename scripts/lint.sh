#!/bin/sh
# cppcheck and clang-tidy over the rooms. What is switched off is named here with its reason.
set -u
cd "$(dirname "$0")/.."
build=${1:-build}
bad=0
mkdir -p "$build/cppcheck"

# missingIncludeSystem: library headers are not analysed. unusedFunction is not asked for: archives
# serve several programs.
cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr -j "$(nproc)" \
    --enable=warning,performance,portability --suppress=missingIncludeSystem \
    --cppcheck-build-dir="$build/cppcheck" -I. -D_GNU_SOURCE ./*/*.c || bad=1

# Bug finders only; form is clang-format's business.
checks='-*,bugprone-*,clang-analyzer-*'
checks="$checks,-bugprone-easily-swappable-parameters"   # most numeric functions have two sizes
checks="$checks,-bugprone-reserved-identifier"           # _GNU_SOURCE
checks="$checks,-bugprone-narrowing-conversions"         # -Wconversion does it
checks="$checks,-bugprone-implicit-widening-of-multiplication-result"
checks="$checks,-bugprone-assignment-in-if-condition"
checks="$checks,-bugprone-sizeof-expression"             # arrays of pointers to structs
checks="$checks,-clang-analyzer-optin.performance.Padding" # fields are ordered for the reader
checks="$checks,-clang-analyzer-valist.Uninitialized"    # clang 14 does not see va_start
checks="$checks,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling" # Annex K
find base conf ingest features store train programs -name '*.c' -print0 |
    xargs -0 -P "$(nproc)" -n 4 sh -c 'clang-tidy --quiet --warnings-as-errors="*" --checks="$0" "$@" \
        -- -std=c17 -D_GNU_SOURCE -I. 2>/dev/null' "$checks" || bad=1
exit $bad
