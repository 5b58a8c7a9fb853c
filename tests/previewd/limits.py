"""Rate limits as servers enforce them, here to count who breaks one.

Three algorithms over "N requests in W seconds". Each is told of every request as it arrives and
says whether a server with this limit would have refused it; such a request is a violation and, as
on a real server, does not count against the requests that follow.
"""

import math
from collections import deque


class FixedWindow:
    """At most n in each window [phase + k*W, phase + (k+1)*W)."""

    def __init__(self, n, window_s, phase_s=0.0):
        self.n, self.window_s, self.phase_s = n, window_s, phase_s
        self.window = None
        self.count = 0

    def admit(self, now):
        window = math.floor((now - self.phase_s) / self.window_s)
        if window != self.window:
            self.window, self.count = window, 0
        if self.count >= self.n:
            return False
        self.count += 1
        return True


class SlidingLog:
    """At most n in any half-open interval of length W: the strictest reading of the limit."""

    def __init__(self, n, window_s):
        self.n, self.window_s = n, window_s
        self.log = deque()

    def admit(self, now):
        while self.log and self.log[0] <= now - self.window_s:
            self.log.popleft()
        if len(self.log) >= self.n:
            return False
        self.log.append(now)
        return True


class TokenBucket:
    """Holds n tokens, refilled at n/W a second; a request takes one."""

    def __init__(self, n, window_s):
        self.n, self.rate = n, n / window_s
        self.tokens = float(n)
        self.last = None

    def admit(self, now):
        if self.last is not None:
            self.tokens = min(self.n, self.tokens + (now - self.last) * self.rate)
        self.last = now
        # Refilling in small steps loses a few units in the last place; they are not a request.
        if self.tokens < 1.0 - 1e-9:
            return False
        self.tokens -= 1.0
        return True


def make_limits(n, window_s):
    """Every algorithm, the fixed window in two phases."""
    return {
        "fixed_window": FixedWindow(n, window_s),
        "fixed_window_half": FixedWindow(n, window_s, window_s / 2),
        "sliding_log": SlidingLog(n, window_s),
        "token_bucket": TokenBucket(n, window_s),
    }


class Watch:
    """All algorithms for every client."""

    CLIENTS_MAX = 10000

    def __init__(self, n, window_s):
        self.n, self.window_s = n, window_s
        self.clients = {}
        self.violations = {}

    def admit(self, client, now):
        """Tells all algorithms of one request; False when any would refuse it."""
        if client not in self.clients and len(self.clients) >= self.CLIENTS_MAX:
            client = "(others)"
        limits = self.clients.get(client)
        if limits is None:
            limits = self.clients[client] = make_limits(self.n, self.window_s)
            self.violations[client] = dict.fromkeys(limits, 0)
        refused = [name for name, limit in limits.items() if not limit.admit(now)]
        for name in refused:
            self.violations[client][name] += 1
        return not refused

    def totals(self):
        totals = dict.fromkeys(make_limits(self.n, self.window_s), 0)
        for counts in self.violations.values():
            for name, count in counts.items():
                totals[name] += count
        return totals


def parse_limit(text):
    """'50/5' to (50, 5.0)."""
    n, _, window = text.partition("/")
    n, window_s = int(n), float(window)
    if n < 1 or not window_s > 0:
        raise ValueError(f"limit {text!r}: want N/SECONDS with N >= 1 and SECONDS > 0")
    return n, window_s
