#!/bin/sh
# cppcheck over all C, clang-tidy over the rooms. What is switched off is named here with its reason.
set -eu
cd "$(dirname "$0")/.."
build=${1:-build}

# missingIncludeSystem: library headers are not analysed.
# unusedFunction is not asked for: archives are used by several programs.
cppcheck --quiet --std=c11 --error-exitcode=1 --inline-suppr -j "$(nproc)" \
    --enable=warning,performance,portability \
    --suppress=missingIncludeSystem \
    --cppcheck-build-dir="$(mkdir -p "$build/cppcheck" && echo "$build/cppcheck")" \
    -I. -D_GNU_SOURCE ./*/*.c

# Checks: bug finders only; style is docs/STYLE.md's and clang-format's business.
checks='-*,bugprone-*,clang-analyzer-*,-bugprone-easily-swappable-parameters'
checks="$checks,-bugprone-reserved-identifier"                                # _GNU_SOURCE and friends
checks="$checks,-bugprone-narrowing-conversions,-bugprone-implicit-widening-of-multiplication-result" # -Wconversion does it
checks="$checks,-clang-analyzer-security.insecureAPI.DeprecatedOrUnsafeBufferHandling" # asks for Annex K
checks="$checks,-bugprone-assignment-in-if-condition"
find . -maxdepth 2 -name '*.c' -not -path './build*' -not -path './tests/*' -print0 |
    xargs -0 -P "$(nproc)" -n 4 clang-tidy --quiet --warnings-as-errors='*' --checks="$checks" 2>"$build/clang-tidy.err" \
    -- -std=c17 -D_GNU_SOURCE -I. ||
    { tail -n 5 "$build/clang-tidy.err" >&2; exit 1; }
