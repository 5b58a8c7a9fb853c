"""Random draws as a pure function of seed and key.

Draw("7", "work", 3, "melody") gives the same values on every machine and every Python, whatever
else was drawn before; adding a draw in one place changes nothing in another.
"""

import hashlib


class Draw:
    def __init__(self, *key):
        self.key = "/".join(str(part) for part in key).encode()
        self.counter = 0
        self.pool = b""

    def word(self):
        """32 random bits."""
        if not self.pool:
            block = self.key + b"#" + str(self.counter).encode()
            self.pool = hashlib.blake2b(block, digest_size=64).digest()
            self.counter += 1
        value = int.from_bytes(self.pool[:4], "little")
        self.pool = self.pool[4:]
        return value

    def unit(self):
        """In [0, 1)."""
        return self.word() / 2**32

    def between(self, low, high):
        """A float in [low, high)."""
        return low + (high - low) * self.unit()

    def integer(self, low, high):
        """An integer in [low, high], both included."""
        return low + self.word() * (high - low + 1) // 2**32

    def chance(self, p):
        return self.unit() < p

    def pick(self, items):
        return items[self.integer(0, len(items) - 1)]

    def pick_weighted(self, weights):
        """weights: list of (item, weight)."""
        left = self.unit() * sum(w for _, w in weights)
        for item, w in weights:
            left -= w
            if left < 0:
                return item
        return weights[-1][0]

    def sample(self, items, n):
        """n different items in random order."""
        rest = list(items)
        return [rest.pop(self.integer(0, len(rest) - 1)) for _ in range(min(n, len(rest)))]

    def letters(self, alphabet, n):
        return "".join(self.pick(alphabet) for _ in range(n))
