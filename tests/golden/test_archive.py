#!/usr/bin/env python3
"""Reads an `archive` record by docs/FORMAT.md alone and compares it with the same clip as `raw`. TAP."""

import os
import struct
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))

import tap

HEADER = struct.Struct("<4s4BHHI")
RECORDS = os.path.join(ROOT, "tests", "fuzz", "corpus", "record")


def read(name):
    with open(os.path.join(RECORDS, name), "rb") as file:
        data = file.read()
    magic, version, codec, _, dtype, mels, frames, n = HEADER.unpack_from(data)
    assert (magic, version, codec) == (b"RFR1", 1, 0) and len(data) == 64 + n
    return dtype, frames, mels, data[64:]


def clamp(value):
    return min(255, max(0, value))


def median_edge(a, b, c):
    if c >= max(a, b):
        return min(a, b)
    return max(a, b) if c <= min(a, b) else a + b - c


def decode_archive(frames, mels, payload):
    low, high, n0, n1 = struct.unpack_from("<HHII", payload)
    rest = payload[12:]
    streams = [iter(rest[:n0]), iter(rest[n0:n0 + n1]), iter(rest[n0 + n1:])]
    bias = [0] * 256
    levels, wrongs = [[0] * mels, [0] * mels], [[0] * mels, [0] * mels]

    def wrong_at(row, m):
        return row[m] if 0 <= m < mels else 0

    for _ in range(frames):
        older, before = levels[-2], levels[-1]
        row, wrong = [], []
        for m in range(mels):
            a, e = before[m], older[m]
            b = row[m - 1] if m > 0 else before[0]
            c, d = before[max(0, m - 1)], before[min(mels - 1, m + 1)]
            f = row[m - 2] if m > 1 else before[0]
            linear = clamp((267 * a + 150 * b - 130 * c + 5 * d - 36 * e + 128) >> 8)
            p = (median_edge(a, b, c) + linear + 1) >> 1
            s = abs(a - c) + abs(b - c)
            tests = (b > p, a > p, c > p, d > p, e > p, f > p, s > 8, s > 24)
            context = sum(1 << i for i, is_true in enumerate(tests) if is_true)
            guess = clamp(p + ((bias[context] + 2048) >> 12))
            unrest = (2 * wrongs[-1][m] + 2 * (wrong[m - 1] if m > 0 else 0) + wrong_at(wrongs[-1], m - 1)
                      + wrong_at(wrongs[-1], m + 1) + wrongs[-2][m])
            level = (guess + next(streams[(unrest > low) + (unrest > high)])) % 256
            bias[context] += ((level - p) * 4096 - bias[context]) >> 6
            row.append(level)
            wrong.append(abs(level - guess))
        levels.append(row)
        wrongs.append(wrong)
    assert all(next(stream, None) is None for stream in streams)
    return bytes(level for row in levels[2:] for level in row)


def test_archive_by_the_page():
    raw_dtype, frames, mels, want = read("raw")
    dtype, *shape, payload = read("archive_none")
    assert (raw_dtype, dtype, shape) == (4, 5, [frames, mels])
    got = decode_archive(frames, mels, payload)
    assert len(want) == frames * mels and len(set(want)) > 50
    assert got == want, next(i for i in range(len(want)) if got[i] != want[i])


if __name__ == "__main__":
    sys.exit(tap.run(globals()))
