"""Prints the tables of features/elementary.c: where glibc's sine and cosine are not correctly rounded.

Over the arguments that windows and twiddles of transforms up to 8192 points need. Needs mpmath and
a glibc of 2.28 or later on a processor with fused multiply-add.
"""
import math

import mpmath

mpmath.mp.prec = 160


def window_arguments(n):
    step = 2 * math.pi / n
    return {i * step - math.pi for i in range(n)}


def twiddle_arguments(n):
    """pocketfft's two tables: low bits and high bits of i, folded to the first octant."""
    bits = 1
    while 1 << 2 * bits < (n + 2) // 2:
        bits += 1
    out = set()
    for i in range(n // 2 + 1):
        for part in (i % 2**bits, i - i % 2**bits):
            x = 8 * part % (2 * n)
            out.add(min(x, 2 * n - x) * (math.pi / 4 / n))
    return out


def main():
    arguments = set()
    for bits in range(4, 14):
        arguments |= window_arguments(2**bits) | twiddle_arguments(2**bits)
    for name in ("sin", "cos"):
        print(f"static const struct exception {name.upper()}_EXCEPTIONS[] = {{")
        for x in sorted({abs(x) for x in arguments}):
            got = getattr(math, name)(x)
            if got != float(getattr(mpmath, name)(mpmath.mpf(x))):
                print(f"    {{{x.hex()}, {got.hex()}}},")
        print("};")


main()
