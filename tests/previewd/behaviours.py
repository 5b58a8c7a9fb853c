"""What a preview server may do to a client, chosen by the path.

The last segment of a path names a preview; those before it are behaviours, from left to right:

    /mp3-preview/NAME                     the preview
    /mp3-preview/html/NAME                a web page with status 200
    /mp3-preview/r429x3/slow-20000/NAME   429 three times, then the preview at 20,000 bytes/s

A behaviour is a function (ask, argument) that gives a Reply, or None to pass on to the next
segment.
"""

import email.utils
import gzip
import re
import time
from dataclasses import dataclass
from random import Random

KEEP, CLOSE, RESET, HANG, HANGUP = "keep", "close", "reset", "hang", "hangup"

STATUS_TEXT = {200: "OK", 206: "Partial Content", 301: "Moved Permanently", 302: "Found", 304: "Not Modified",
               400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
               410: "Gone", 416: "Range Not Satisfiable", 429: "Too Many Requests", 500: "Internal Server Error",
               502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}

PAGE = (b"<!DOCTYPE html>\n<html><head><title>Preview not available</title></head>\n"
        b"<body><h1>Sorry</h1><p>This preview is not available in your country.</p>"
        b"</body></html>\n")
S3_DENIED = (b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
             b"<Message>Access Denied</Message><RequestId>7D2B1A0F9C3E</RequestId></Error>")
DATE_AHEAD_S = 2  # how far ahead the date in a Retry-After lies


@dataclass
class Reply:
    """A whole answer: what is said, how it is framed, how fast it goes and how it ends."""

    status: int = 200
    body: object = b""  # bytes or memoryview
    content_type: str = "audio/mpeg"
    headers: tuple = ()  # (name, value)
    framing: str = "length"  # "length", "chunked" or "none" (the end of the connection ends it)
    declared: int = -1  # Content-Length, where it shall lie
    stop_after: int = -1  # bytes of the framed body that are sent before `ending`; -1: all
    ending: str = KEEP
    rate: float = 0  # bytes a second; 0: as fast as it goes
    slow_head: bool = False  # the rate holds for the head too
    endless: bool = False  # the body is repeated for ever
    version: str = "HTTP/1.1"
    takes_ranges: bool = False


@dataclass
class Ask:
    """What a behaviour may look at."""

    path: str  # without the query
    name: str  # last segment
    rest: str  # segments that follow the present one, and the name
    query: str
    attempt: int  # 1 for the first request of this path
    preview: object  # bytes of the preview; None when there is none


def plain(status, body, content_type, *headers):
    return Reply(status, body, content_type, headers)


def missing():
    return plain(404, b"no such preview\n", "text/plain")


def preview(ask, **changes):
    return missing() if ask.preview is None else Reply(body=ask.preview, **changes)


# ---------------------------------------------------------------- statuses

def retry_after(kind):
    """The Retry-After header of a kind: seconds, "date", "past", "garbage" or "none"."""
    if kind == "none":
        return ()
    if kind == "garbage":
        return (("Retry-After", "in a little while"),)
    if kind in ("date", "past"):
        when = time.time() + (DATE_AHEAD_S if kind == "date" else -3600)
        return (("Retry-After", email.utils.formatdate(when, usegmt=True)),)
    return (("Retry-After", kind or "1"),)


def throttled(kind):
    return plain(429, b"slow down\n", "text/plain", *retry_after(kind))


def status(ask, argument):
    code, _, kind = argument.partition("-")
    headers = retry_after(kind) if int(code) in (429, 503) and kind else ()
    return plain(int(code), STATUS_TEXT.get(int(code), "").encode() + b"\n", "text/plain", *headers)


def first_times(ask, argument):
    """r429x3-date: 429 three times, with a date to come back at; then the rest of the path."""
    code, times, kind = re.fullmatch(r"(\d{3})x(\d+)(?:-(\w+))?", argument).groups()
    if ask.attempt > int(times):
        return None
    return throttled(kind or "1") if code == "429" else status(ask, f"{code}-{kind or ''}")


# ---------------------------------------------------------------- foreign content

def html(ask, argument):
    return plain(200, PAGE, "text/html; charset=utf-8")


def json(ask, argument):
    return plain(200, b'{"error":{"type":"Exception","message":"Quota limit exceeded","code":4}}',
                 "application/json")


def xml403(ask, argument):
    return plain(403, S3_DENIED, "application/xml")


def empty(ask, argument):
    return Reply(body=b"")


def mislabelled(ask, argument):
    return preview(ask, content_type="text/html; charset=utf-8")


def gzipped(ask, argument):
    reply = preview(ask, headers=(("Content-Encoding", "gzip"),))
    if reply.status == 200:
        reply.body = gzip.compress(reply.body, 1)
    return reply


def brotli_stored(data):
    """A brotli stream (RFC 7932 section 9) that stores its bytes in blocks of 64 KiB. A block's head,
    lowest bit first: not the last, length in four digits of four bits, stored; up to a whole byte."""
    out, window_bits = bytearray(), 1  # the stream begins with a 0 bit: a window of 64 KiB
    for i in range(0, len(data), 1 << 16):
        piece = data[i:i + (1 << 16)]
        head = ((len(piece) - 1) << 3 | 1 << 19) << window_bits
        out += head.to_bytes(3, "little") + piece
        window_bits = 0
    return bytes(out + b"\x03")  # the last block, and empty


def brotli(ask, argument):
    reply = preview(ask, headers=(("Content-Encoding", "br"),))
    if reply.status == 200:
        reply.body = brotli_stored(bytes(reply.body))
    return reply


def encoded(ask, argument):
    """encoded-NAME: an encoding that is said and not done."""
    return preview(ask, headers=(("Content-Encoding", argument or "x-odd"),))


def halved(ask, argument):
    """A file that was cut on the server: HTTP is in order, the audio is not whole."""
    reply = preview(ask)
    reply.body = reply.body[:len(reply.body) // 2] if reply.status == 200 else reply.body
    return reply


def xml(ask, argument):
    return plain(200, S3_DENIED, "application/xml")


def octets(ask, argument):
    return preview(ask, content_type="application/octet-stream")


def unasked_part(ask, argument):
    """206 to a request that asked for no range."""
    reply = preview(ask)
    if reply.status == 200:
        reply.status, reply.body = 206, reply.body[:1000]
    return reply


# ---------------------------------------------------------------- caches and ranges

def tagged(ask, argument):
    return preview(ask, headers=(("ETag", '"v1"'),))


def ranges(ask, argument):
    return preview(ask, headers=(("ETag", '"v1"'), ("Accept-Ranges", "bytes")), takes_ranges=True)


# ---------------------------------------------------------------- published limits

def limit(ask, argument):
    """limit-x, limit-06, limit-07, limit-08: the preview, with a limit of 100 in 60 s in its head."""
    return preview(ask, headers=published(argument, 50))


def limit0(ask, argument):
    """The same with nothing left for a second."""
    return preview(ask, headers=published(argument, 0))


def published(generation, remaining):
    if generation == "x":
        return (("X-RateLimit-Limit", "100"), ("X-RateLimit-Remaining", str(remaining)),
                ("X-RateLimit-Reset", str(int(time.time()) + 1)))
    if generation == "06":
        return (("RateLimit-Limit", "100, 100;w=60"), ("RateLimit-Remaining", str(remaining)),
                ("RateLimit-Reset", "1"))
    if generation == "07":
        return (("RateLimit", f"limit=100, remaining={remaining}, reset=1"),
                ("RateLimit-Policy", "100;w=60"))
    return (("RateLimit", f'"default";r={remaining};t=1'),
            ("RateLimit-Policy", '"default";q=100;w=60'))


def scrambled(ask, argument):
    """Right length, wrong bytes: the middle third is zeros."""
    reply = preview(ask)
    if reply.status == 200:
        third = len(reply.body) // 3
        reply.body = bytes(reply.body[:third]) + bytes(third) + bytes(reply.body[2 * third:])
    return reply


# ---------------------------------------------------------------- broken transport

def quietcut(ask, argument):
    """Half comes, in mid-frame, without a length or an end of chunks that would tell; quietcut-chunked:
    the chunks end properly."""
    reply = halved(ask, argument)
    reply.framing = "chunked" if argument == "chunked" else "none"
    reply.ending = KEEP if argument == "chunked" else CLOSE
    return reply


def truncated(ask, argument):
    """Content-Length promises all, half comes, the connection closes."""
    return half_of(preview(ask), CLOSE)


def reset(ask, argument):
    return half_of(preview(ask), RESET)


def chunkcut(ask, argument):
    """Chunked, and closed in the middle of a chunk, without the last one."""
    return half_of(preview(ask, framing="chunked"), CLOSE)


def half_of(reply, ending):
    if reply.status == 200:
        reply.stop_after, reply.ending = len(reply.body) // 2, ending
    return reply


def chunked(ask, argument):
    return preview(ask, framing="chunked")


def unframed(ask, argument):
    """Neither length nor chunks: the end of the connection is the end of the body."""
    return preview(ask, framing="none", ending=CLOSE)


def overlong(ask, argument):
    """More bytes than promised."""
    reply = preview(ask, ending=CLOSE)
    reply.declared = len(reply.body) // 2
    return reply


def goodbye(ask, argument):
    """A good answer, after which a connection that promised to stay is closed."""
    return preview(ask, ending=CLOSE)


def http10(ask, argument):
    """As old servers answer: HTTP/1.0, no length, closed at the end."""
    return preview(ask, framing="none", ending=CLOSE, version="HTTP/1.0")


def twolengths(ask, argument):
    """Two Content-Length fields that differ (RFC 9112 section 6.3: not to be believed)."""
    return preview(ask, headers=(("Content-Length", "7"),), ending=CLOSE)


def hang(ask, argument):
    return Reply(ending=HANG)


def hangup(ask, argument):
    """The connection closes without a word."""
    return Reply(ending=HANGUP)


def slow(ask, argument):
    return preview(ask, rate=float(argument or 20000))


def loris(ask, argument):
    """Even the head comes byte by byte."""
    return preview(ask, rate=float(argument or 10), slow_head=True)


def endless(ask, argument):
    return preview(ask, framing="none", endless=True, ending=CLOSE, rate=float(argument or 0))


# ---------------------------------------------------------------- redirects

def redirect(ask, argument):
    """redirect-3: three hops, then the rest of the path."""
    left = int(argument or 1)
    here = f"/redirect-{left}/"
    before = ask.path[:ask.path.index(here)]
    target = f"/redirect-{left - 1}/" if left > 1 else "/"
    return moved(f"{before}{target}{ask.rest}", ask.query)


def moved(location, query=""):
    location += f"?{query}" if query else ""
    return plain(302, b"", "text/plain", ("Location", location))


def loop(ask, argument):
    return moved(ask.path)


def foreign(ask, argument):
    """foreign-127.0.0.2:8080: the same preview on another host."""
    return moved(f"http://{argument}/{ask.rest}", ask.query)


def badlocation(ask, argument):
    return moved("http://[not a host/")


NAMED = {f.__name__: f for f in (status, html, json, xml, empty, octets,
                                 unasked_part, tagged, ranges, limit, limit0, http10, twolengths,
                                 mislabelled, gzipped, brotli, encoded, halved, scrambled, quietcut,
                                 truncated,
                                 reset, chunkcut, chunked, unframed, overlong, goodbye, hang,
                                 hangup, slow, loris, endless, redirect, loop, foreign,
                                 badlocation)}
NAMED.update({
    "403xml": xml403,
    "404": lambda ask, argument: status(ask, "404"),
    "410": lambda ask, argument: status(ask, "410"),
    "429": lambda ask, argument: throttled(argument or "1"),
})


def find_behaviour(segment):
    """(function, argument) of a path segment, or None when it is an ordinary folder name."""
    if re.fullmatch(r"r\d{3}x\d+(-\w+)?", segment):
        return first_times, segment[1:]
    name, _, argument = segment.partition("-")
    return (NAMED[name], argument) if name in NAMED else None


# ---------------------------------------------------------------- by chance

class Chaos:
    """Gives a share of the plain requests a behaviour. What the k-th request of a path meets
    follows from the seed, the path and k, whatever else is asked in between."""

    def __init__(self, text, seed):
        self.seed = seed
        self.shares = []
        for item in filter(None, text.split(",")):
            segment, _, share = item.partition("=")
            found = find_behaviour(segment)
            if found is None:
                raise ValueError(f"chaos: no behaviour {segment!r}")
            self.shares.append((float(share), found))
        if sum(share for share, _ in self.shares) > 1:
            raise ValueError("chaos: shares add up to more than 1")

    def draw(self, ask):
        if not self.shares:
            return None
        left = Random(f"{self.seed}/{ask.path}/{ask.attempt}").random()
        for share, (function, argument) in self.shares:
            left -= share
            if left < 0:
                return function(ask, argument)
        return None


class Site:
    """Answers for a path. `previews` maps a name to its bytes or None."""

    ATTEMPTS_MAX = 1_000_000  # paths that are remembered

    def __init__(self, previews, chaos):
        self.previews = previews
        self.chaos = chaos
        self.attempts = {}

    def refusal(self, path, query):
        """What is answered over the limit; None for 429."""
        return None

    def answer(self, path, query):
        attempt = self.attempts.get(path, 0) + 1
        if attempt > 1 or len(self.attempts) < self.ATTEMPTS_MAX:
            self.attempts[path] = attempt
        segments = path.strip("/").split("/")
        name = segments[-1]
        ask = Ask(path, name, "", query, attempt, self.previews(name))
        chosen = False
        for i, segment in enumerate(segments[:-1]):
            found = find_behaviour(segment)
            if found is None:
                continue
            chosen = True
            ask.rest = "/".join(segments[i + 1:])
            reply = found[0](ask, found[1])
            if reply is not None:
                return reply
        return (None if chosen else self.chaos.draw(ask)) or preview(ask)
