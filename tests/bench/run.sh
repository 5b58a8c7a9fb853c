#!/bin/sh
# Every benchmark, one after the other: tests/bench/run.sh BUILD_DIR. Each prints its figures as ratios
# within its own run where there is something to compare with. Nothing passes or fails by them.
set -u
cd "$(dirname "$0")/../.."
build=${1:-build}
for bench in "$build"/tests/bench/*/bench_*; do
    case $bench in *.*) continue ;; esac
    [ -x "$bench" ] || continue
    echo "== ${bench##*/}"
    "$bench"
done
for bench in tests/bench/bench_*.sh; do
    [ -e "$bench" ] || continue
    echo "== ${bench##*/}"
    sh "$bench" "$build"
done
