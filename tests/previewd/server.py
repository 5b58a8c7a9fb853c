"""A small HTTP/1.1 server on one thread: epoll, kept-alive connections, files from memory maps.

Written for speed on small requests with large answers (a preview is about 360 KB), and for breaking
rules on purpose: a Reply says how a body is framed, where it stops, how fast it goes and how the
connection ends. One request at a time is served on a connection; pipelined ones wait.

The network between is imitated by two waits: a request "arrives" half a round trip after it was
read, which is when limits look at it, and its answer sets out half a round trip after that.
"""

import heapq
import itertools
import json
import mmap
import os
import re
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from random import Random

from behaviours import CLOSE, HANG, HANGUP, KEEP, RESET, STATUS_TEXT, Reply, throttled

REQUEST_BYTES_MAX = 64 * 1024
READ_BYTES = 64 * 1024
PATHS_COUNTED_MAX = 100_000
CONNECTIONS_MAX = 4096
SEND_BUFFER_BYTES = 1 << 20
SLOW_STEP_S = 0.05  # a throttled body goes out in steps of this length


class Previews:
    """Files of a folder by name, with or without .mp3, mapped into memory and kept."""

    MAPS_MAX = 16384

    def __init__(self, folder):
        self.folder = folder
        self.maps = {}

    def __call__(self, name):
        found = self.maps.get(name)
        return found if found is not None else self.load(name)

    def load(self, name):
        if name in ("", ".", "..") or "\0" in name or "/" in name:
            return None
        for candidate in (name, name + ".mp3"):
            try:
                with open(os.path.join(self.folder, candidate), "rb") as file:
                    data = b""
                    if size := os.fstat(file.fileno()).st_size:
                        data = memoryview(mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ))
            except (FileNotFoundError, IsADirectoryError):
                continue
            if len(self.maps) >= self.MAPS_MAX:
                self.maps.clear()
            self.maps[name] = data
            return data
        return None


@dataclass
class Stats:
    requests: int = 0
    connections: int = 0
    bytes: int = 0
    max_in_flight: int = 0
    by_path_status: dict = field(default_factory=dict)
    by_status: dict = field(default_factory=dict)
    first_s: float = 0.0  # when the first and the last request arrived, in seconds since start
    last_s: float = 0.0

    def count(self, path, status, now):
        self.requests += 1
        self.first_s = self.first_s or now
        self.last_s = now
        self.by_status[status] = self.by_status.get(status, 0) + 1
        if path not in self.by_path_status and len(self.by_path_status) >= PATHS_COUNTED_MAX:
            path = "(others)"
        row = self.by_path_status.setdefault(path, {})
        row[status] = row.get(status, 0) + 1


@dataclass
class Options:
    """What the server does to all requests alike."""

    rtt_s: float = 0.0
    jitter: float = 0.0  # 0..1: each way's wait is drawn from its mean times 1 -+ jitter
    enforce: bool = False  # answer 429 to what breaks the limit
    client_header: str = ""  # tells clients apart; "" for their address
    max_seconds: float = 0.0  # 0: until it is told to stop
    seed: str = "1"


class Connection:
    __slots__ = ("sock", "fd", "peer", "inbox", "busy", "out", "reply", "keep", "interest",
                 "closed")

    def __init__(self, sock, peer):
        self.sock, self.fd, self.peer = sock, sock.fileno(), peer
        self.inbox = b""
        self.busy = False  # a request is being answered
        self.out = []  # memoryviews that remain to be sent
        self.reply = None
        self.keep = True
        self.interest = select.EPOLLIN
        self.closed = False


class Request:
    __slots__ = ("method", "target", "version", "head")

    def __init__(self, method, target, version, head):
        self.method, self.target, self.version, self.head = method, target, version, head

    def header(self, name):
        """Value of a header, "" without one. Lines are searched only when somebody asks."""
        lower = self.head.lower()
        at = lower.find(b"\r\n" + name.lower().encode() + b":")
        if at < 0:
            return ""
        start = at + len(name) + 3
        end = self.head.find(b"\r\n", start)
        return self.head[start:end if end >= 0 else None].strip().decode("latin-1")

    def wants_close(self):
        connection = self.header("Connection").lower()
        return connection == "close" or (self.version == "HTTP/1.0" and connection != "keep-alive")


class BadRequest(Exception):
    pass


def parse_request(data):
    """(Request, rest), or None while the head or a body is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > REQUEST_BYTES_MAX:
            raise BadRequest("head too long")
        return None
    head = data[:end]
    line = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(line) != 3 or not line[1].startswith("/") or not line[2].startswith("HTTP/1."):
        raise BadRequest("no HTTP/1 request")
    request = Request(line[0], line[1], line[2], head)
    length = request.header("Content-Length") if line[0] == "POST" else ""
    if length and not (length.isdigit() and int(length) <= REQUEST_BYTES_MAX):
        raise BadRequest("bad Content-Length")
    total = end + 4 + int(length or 0)
    return (request, data[total:]) if len(data) >= total else None


def chunk_frames(body, size=16384):
    """A body in chunked framing, as one bytes object."""
    out = bytearray()
    for i in range(0, len(body), size):
        piece = body[i:i + size]
        out += b"%x\r\n" % len(piece) + piece + b"\r\n"
    return bytes(out + b"0\r\n\r\n")


def head_bytes(reply, keep):
    head = [f"{reply.version} {reply.status} {STATUS_TEXT.get(reply.status, 'Unknown')}",
            f"Content-Type: {reply.content_type}"]
    if reply.framing == "length":
        head.append(f"Content-Length: {reply.declared if reply.declared >= 0 else len(reply.body)}")
    elif reply.framing == "chunked":
        head.append("Transfer-Encoding: chunked")
    head += [f"{name}: {value}" for name, value in reply.headers]
    if not keep:
        head.append("Connection: close")
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1")


class Server:
    def __init__(self, site, watch, options, host="127.0.0.1", port=0, log=None):
        self.site, self.watch, self.options, self.log = site, watch, options, log
        self.stats = Stats()
        self.in_flight = 0
        self.connections = {}
        self.timers = []
        self.order = itertools.count()
        self.jitter = Random(f"{options.seed}/jitter")
        self.epoll = select.epoll()
        self.wake_read, self.wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.listener = socket.create_server((host, port), backlog=1024)
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]
        self.epoll.register(self.listener.fileno(), select.EPOLLIN)
        self.epoll.register(self.wake_read, select.EPOLLIN)
        self.started = time.monotonic()

    # ------------------------------------------------------------ the loop

    def stop(self):
        """Ends run(); may be called from a signal handler or another thread."""
        os.write(self.wake_write, b"x")

    def run(self):
        if self.options.max_seconds:
            self.after(self.options.max_seconds, self.stop)
        while True:
            wait = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else -1
            for fd, events in self.epoll.poll(wait):
                if fd == self.wake_read:
                    return self.close()
                if fd == self.listener.fileno():
                    self.accept()
                elif fd in self.connections:
                    self.serve_events(self.connections[fd], events)
            self.run_timers()

    def after(self, seconds, call, *args):
        heapq.heappush(self.timers, (time.monotonic() + seconds, next(self.order), call, args))

    def run_timers(self):
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            _, _, call, args = heapq.heappop(self.timers)
            call(*args)

    def close(self):
        for connection in list(self.connections.values()):
            self.drop(connection)
        self.listener.close()
        self.epoll.close()
        os.close(self.wake_read)
        os.close(self.wake_write)

    def accept(self):
        for _ in range(64):
            try:
                sock, address = self.listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            if len(self.connections) >= CONNECTIONS_MAX:
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            connection = Connection(sock, address[0])
            self.connections[connection.fd] = connection
            self.epoll.register(connection.fd, select.EPOLLIN)
            self.stats.connections += 1

    def drop(self, connection, reset=False):
        if connection.closed:
            return
        connection.closed = True
        del self.connections[connection.fd]
        self.epoll.unregister(connection.fd)
        if reset:  # zero linger: the kernel sends RST and forgets what is queued
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()
        if connection.busy:
            self.in_flight -= 1

    def want(self, connection, interest):
        if connection.interest != interest:
            connection.interest = interest
            self.epoll.modify(connection.fd, interest)

    def serve_events(self, connection, events):
        try:
            # An event may be meant for a connection that had this descriptor a moment ago.
            if events & select.EPOLLOUT and connection.interest & select.EPOLLOUT:
                self.send(connection)
            elif events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self.receive(connection)
        except (ConnectionError, TimeoutError):
            self.drop(connection)

    # ------------------------------------------------------------ requests

    def receive(self, connection):
        try:
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            return self.drop(connection)
        connection.inbox += data
        if len(connection.inbox) > 2 * REQUEST_BYTES_MAX:
            return self.drop(connection)
        self.next_request(connection)

    def next_request(self, connection):
        if connection.busy or connection.closed:
            return
        try:
            parsed = parse_request(connection.inbox) if connection.inbox else None
        except BadRequest as error:
            connection.busy = True
            self.in_flight += 1
            connection.keep = False
            return self.begin(connection, Reply(400, f"{error}\n".encode(), "text/plain"), "GET")
        if parsed is None:
            return
        request, connection.inbox = parsed
        connection.busy = True
        connection.keep = not request.wants_close()
        self.in_flight += 1
        self.stats.max_in_flight = max(self.stats.max_in_flight, self.in_flight)
        if request.target.startswith("/stats"):
            self.begin(connection, self.control(request), request.method)
        elif self.options.rtt_s > 0:
            self.after(self.half_way_s(), self.arrive, connection, request)
        else:
            self.arrive(connection, request)

    def half_way_s(self):
        return self.options.rtt_s / 2 * (1 + self.options.jitter * (2 * self.jitter.random() - 1))

    def arrive(self, connection, request):
        """The request has come through the network: limits see it, and the site answers."""
        now = time.monotonic() - self.started
        path, _, query = request.target.partition("?")
        client = self.options.client_header and request.header(self.options.client_header)
        allowed = self.watch is None or self.watch.admit(client or connection.peer, now)
        if not allowed and self.options.enforce:
            reply = self.site.refusal(path, query) or throttled(
                str(max(1, round(self.watch.window_s))))
        elif request.method not in ("GET", "HEAD"):
            reply = Reply(405, b"GET and HEAD only\n", "text/plain")
        else:
            reply = self.site.answer(path, query)
            if reply.status == 200:
                reply = self.conditional(request, reply)
        self.stats.count(path, reply.status, now)
        if self.log is not None:
            who = client or connection.peer
            self.log.write(f"{now:.6f} {who} {request.method} {path} {reply.status}\n")
        # A client that left meanwhile has asked all the same.
        if self.options.rtt_s > 0:
            self.after(self.half_way_s(), self.begin, connection, reply, request.method)
        else:
            self.begin(connection, reply, request.method)

    @staticmethod
    def conditional(request, reply):
        """If-None-Match, and Range where the reply has taken it up (RFC 9110 sections 13 and 14)."""
        tag = dict(reply.headers).get("ETag")
        if tag and request.header("If-None-Match") == tag:
            return Reply(304, b"", headers=reply.headers)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", request.header("Range"))
        if not reply.takes_ranges or not wanted:
            return reply
        first, size = int(wanted[1]), len(reply.body)
        if first >= size:
            return Reply(416, b"<html>416</html>", "text/html",
                         headers=(("Content-Range", f"bytes */{size}"),))
        last = min(int(wanted[2] or size - 1), size - 1)
        where = ("Content-Range", f"bytes {first}-{last}/{size}")
        return Reply(206, reply.body[first:last + 1], headers=reply.headers + (where,))

    def control(self, request):
        if request.target == "/stats" and request.method == "GET":
            return Reply(200, self.stats_json(), "application/json")
        if request.target == "/stats/reset" and request.method == "POST":
            self.stats = Stats()
            if self.watch is not None:
                self.watch = type(self.watch)(self.watch.n, self.watch.window_s)
            return Reply(200, b"{}\n", "application/json")
        return Reply(404, b"GET /stats, POST /stats/reset\n", "text/plain")

    def stats_json(self):
        report = dict(vars(self.stats), violations=self.watch.totals() if self.watch else {},
                      violations_by_client=self.watch.violations if self.watch else {},
                      calls=getattr(getattr(self.site, "api", None), "calls", {}))
        return (json.dumps(report, indent=1) + "\n").encode()

    # ------------------------------------------------------------ replies

    def begin(self, connection, reply, method):
        if connection.closed:
            return
        if reply.ending == HANG:
            return
        if reply.ending == HANGUP:
            return self.drop(connection)
        connection.reply = reply
        head = head_bytes(reply, connection.keep)
        body = b"" if method == "HEAD" or reply.status == 304 else reply.body
        if reply.framing == "chunked" and body:
            body = chunk_frames(body)
        if reply.stop_after >= 0:
            body = body[:reply.stop_after]
        connection.out = [memoryview(head), memoryview(body)] if len(body) else [memoryview(head)]
        try:
            if reply.rate and not reply.slow_head:
                connection.sock.send(connection.out.pop(0))
            self.step(connection) if reply.rate else self.send(connection)
        except (ConnectionError, TimeoutError):
            self.drop(connection)

    def send(self, connection):
        """Sends what the socket takes, all at once where it does."""
        out = connection.out
        while out:
            try:
                n = connection.sock.sendmsg(out)
            except BlockingIOError:
                return self.want(connection, select.EPOLLOUT)
            self.stats.bytes += n
            self.advance(connection, n)
        self.finish(connection)

    def advance(self, connection, n):
        out = connection.out
        while out and n >= len(out[0]):
            n -= len(out.pop(0))
        if n:
            out[0] = out[0][n:]
        if not out and connection.reply.endless:
            out.append(memoryview(connection.reply.body))

    def step(self, connection):
        """One step of a throttled body; the next comes by timer."""
        if connection.closed:
            return
        rate = connection.reply.rate
        size = max(1, round(rate * SLOW_STEP_S))
        try:
            if connection.out:
                n = connection.sock.send(connection.out[0][:size])
                self.stats.bytes += n
                self.advance(connection, n)
        except BlockingIOError:
            pass
        except (ConnectionError, TimeoutError):
            return self.drop(connection)
        if not connection.out:
            return self.finish(connection)
        self.after(max(SLOW_STEP_S, 1 / rate), self.step, connection)

    def finish(self, connection):
        ending = connection.reply.ending
        if ending == RESET:
            return self.drop(connection, reset=True)
        if ending == CLOSE or not connection.keep:
            return self.drop(connection)
        assert ending == KEEP
        connection.busy = False
        connection.reply = None
        self.in_flight -= 1
        self.want(connection, select.EPOLLIN)
        if connection.inbox:  # by timer: a long pipeline must not become a deep stack
            self.after(0, self.next_request, connection)
