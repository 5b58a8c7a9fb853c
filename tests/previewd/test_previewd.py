#!/usr/bin/env python3
"""Tests of the preview server: limits on invented times, behaviours over real sockets. TAP."""

import gzip
import http.client
import json
import os
import socket
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import tap
from behaviours import Chaos, Site, find_behaviour
from limits import FixedWindow, SlidingLog, TokenBucket, Watch, parse_limit
from search import Api, SearchSite, Songs
from server import Options, Previews, Server

PREVIEW = bytes(range(256)) * 400  # 102,400 bytes
SOCKET_TIMEOUT_S = 10


def admitted(limit, times):
    return [limit.admit(t) for t in times].count(True)


# ---------------------------------------------------------------- limits

def test_fixed_window_counts_anew_in_each_window():
    limit = FixedWindow(2, 5.0)
    assert [limit.admit(t) for t in (0, 1, 4.999, 5.0, 5.1, 9.9, 10.0)] == [
        True, True, False, True, True, False, True]


def test_fixed_window_phase_moves_its_borders():
    assert admitted(FixedWindow(1, 2.0), (0.9, 1.1)) == 1
    assert admitted(FixedWindow(1, 2.0, phase_s=1.0), (0.9, 1.1)) == 2


def test_sliding_log_sees_what_straddles_a_border():
    times = (4.8, 4.9, 5.1, 5.2)
    assert admitted(FixedWindow(2, 5.0), times) == 4
    assert admitted(SlidingLog(2, 5.0), times) == 2


def test_sliding_log_interval_is_half_open():
    assert admitted(SlidingLog(1, 5.0), (0.0, 5.0)) == 2
    assert admitted(SlidingLog(1, 5.0), (0.0, 4.999999)) == 1


def test_refused_requests_do_not_count():
    assert [SlidingLog(1, 1.0).admit(0.0)] == [True]
    limit = SlidingLog(1, 1.0)
    assert [limit.admit(t) for t in (0.0, 0.5, 0.9, 1.0)] == [True, False, False, True]


def test_token_bucket_refills_and_caps():
    limit = TokenBucket(2, 1.0)
    assert [limit.admit(t) for t in (0.0, 0.0, 0.0, 0.5, 0.5)] == [True, True, False, True, False]
    assert admitted(limit, (100.0, 100.0, 100.0)) == 2
    assert admitted(TokenBucket(100, 1.0), [0.0] * 150) == 100


def test_token_bucket_lets_an_even_rate_through_for_ever():
    limit = TokenBucket(3, 1.0)
    assert admitted(limit, [i / 3 for i in range(3000)]) == 3000


def test_a_double_burst_breaks_every_limit_but_the_lucky_window():
    watch = Watch(5, 1.0)
    times = [0.9 + i * 0.01 for i in range(5)] + [1.0 + i * 0.01 for i in range(5)]
    for t in times:
        watch.admit("a", t)
    totals = watch.totals()
    assert totals["fixed_window"] == 0
    assert totals["fixed_window_half"] == 5
    assert totals["sliding_log"] == 5
    assert totals["token_bucket"] >= 4


def test_clients_are_counted_apart():
    watch = Watch(1, 1.0)
    assert watch.admit("a", 0.0)
    assert watch.admit("b", 0.0)
    assert not watch.admit("a", 0.1)
    assert watch.violations["a"]["sliding_log"] == 1
    assert watch.violations["b"]["sliding_log"] == 0


def test_parse_limit():
    assert parse_limit("50/5") == (50, 5.0)
    for bad in ("50", "0/5", "5/0", "x/y", "5/-1"):
        try:
            parse_limit(bad)
        except ValueError:
            continue
        raise AssertionError(bad)


# ---------------------------------------------------------------- chance

def test_chaos_depends_on_path_and_attempt_only():
    def codes(paths):
        site = Site(lambda name: b"x" * 1000, Chaos("status-503=0.3,html=0.2", "7"))
        found = {}
        for path in paths:
            found.setdefault(path, []).append(site.answer(path, "").status)
        return found

    paths = [f"/p/{i}" for i in range(300)] * 2
    forward, backward = codes(paths), codes(paths[::-1])
    assert forward == backward
    share = sum(row.count(503) for row in forward.values()) / 600
    assert 0.22 < share < 0.38, share


def test_chaos_refuses_nonsense():
    for bad in ("nothing=0.1", "html=0.7,empty=0.7", "html=x"):
        try:
            Chaos(bad, "1")
        except ValueError:
            continue
        raise AssertionError(bad)


def test_folder_names_are_no_behaviours():
    assert find_behaviour("mp3-preview") is None
    assert find_behaviour("slowly") is None
    assert find_behaviour("slow-100")[1] == "100"


# ---------------------------------------------------------------- over sockets

class Running:
    """A server on a thread of its own, with previews "a", "b.mp3" and an empty one, "void"."""

    def __init__(self, watch=None, chaos="", **options):
        self.folder = tempfile.TemporaryDirectory()
        for name, data in (("a", PREVIEW), ("b.mp3", PREVIEW[:1000]), ("void", b"")):
            with open(os.path.join(self.folder.name, name), "wb") as file:
                file.write(data)
        site = Site(Previews(self.folder.name), Chaos(chaos, "1"))
        self.server = Server(site, watch, Options(max_seconds=60, **options))
        self.thread = threading.Thread(target=self.server.run)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.stop()
        self.thread.join(SOCKET_TIMEOUT_S)
        assert not self.thread.is_alive(), "the server does not stop"
        self.folder.cleanup()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=SOCKET_TIMEOUT_S)

    def get(self, path, method="GET", headers=None):
        connection = self.connect()
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body

    def socket(self, timeout=SOCKET_TIMEOUT_S):
        return socket.create_connection(("127.0.0.1", self.server.port), timeout=timeout)

    def raw(self, request):
        """All bytes the server sends for these bytes until it closes."""
        with self.socket() as s:
            s.sendall(request)
            got = b""
            while piece := s.recv(65536):
                got += piece
            return got

    def stats(self):
        return json.loads(self.get("/stats")[1])


def test_preview_head_and_404():
    with Running() as run:
        answer, body = run.get("/mp3-preview/a?cid=1")
        assert answer.status == 200 and body == PREVIEW
        assert answer.getheader("Content-Type") == "audio/mpeg"
        assert run.get("/mp3-preview/b")[1] == PREVIEW[:1000]
        assert run.get("/mp3-preview/void")[1] == b""
        answer, body = run.get("/mp3-preview/a", method="HEAD")
        assert body == b"" and answer.getheader("Content-Length") == str(len(PREVIEW))
        assert run.get("/mp3-preview/none")[0].status == 404
        assert run.get("/mp3-preview/..")[0].status == 404
        assert run.get("/mp3-preview/a", method="DELETE")[0].status == 405


def test_connections_are_kept_and_counted():
    with Running() as run:
        connection = run.connect()
        for _ in range(5):
            connection.request("GET", "/p/a")
            assert connection.getresponse().read() == PREVIEW
        connection.close()
        stats = run.stats()
        assert stats["requests"] == 5 and stats["connections"] == 2
        assert stats["by_path_status"] == {"/p/a": {"200": 5}}
        assert stats["bytes"] >= 5 * len(PREVIEW)
        run.get("/stats/reset", method="POST")
        assert run.stats()["requests"] == 0


def test_pipelined_and_split_requests():
    with Running() as run:
        one = b"GET /p/b HTTP/1.1\r\nHost: x\r\n\r\n"
        last = b"GET /p/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert run.raw(one * 3 + last).count(PREVIEW[:1000]) == 4
        assert run.raw(one * 1500 + last).count(b"HTTP/1.1 200 OK") == 1501
        with run.socket() as s:
            for i in range(0, len(last), 7):
                s.sendall(last[i:i + 7])
                time.sleep(0.001)
            assert s.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")


def test_garbage_gets_400():
    with Running() as run:
        assert run.raw(b"\x16\x03\x01 hello\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert run.raw(b"GET relative HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")
        assert run.get("/p/a")[0].status == 200


def test_statuses():
    with Running() as run:
        for path, status in (("404/a", 404), ("410/a", 410), ("403xml/a", 403),
                             ("status-503/a", 503), ("status-500/a", 500), ("429/a", 429)):
            assert run.get("/p/" + path)[0].status == status, path
        answer, body = run.get("/p/403xml/a")
        assert b"<Code>AccessDenied</Code>" in body
        assert answer.getheader("Content-Type") == "application/xml"


def test_429_some_times_then_the_preview():
    with Running() as run:
        assert [run.get("/p/r429x3/a")[0].status for _ in range(5)] == [429, 429, 429, 200, 200]
        assert run.get("/p/r429x1/b")[0].getheader("Retry-After") == "1"
        assert run.get("/p/r429x1-17/b")[0].getheader("Retry-After") == "17"
        assert run.get("/p/r429x1-none/b")[0].getheader("Retry-After") is None
        assert run.get("/p/r429x1-date/b")[0].getheader("Retry-After").endswith(" GMT")
        assert not run.get("/p/r429x1-garbage/b")[0].getheader("Retry-After").isdigit()
        assert [run.get("/p/r503x1/html/b")[0].status for _ in range(2)] == [503, 200]
        assert run.stats()["by_path_status"]["/p/r429x3/a"] == {"429": 3, "200": 2}


def test_foreign_content():
    with Running() as run:
        for path, start in (("html/a", b"<!DOCTYPE html>"), ("json/a", b'{"error"')):
            answer, body = run.get("/p/" + path)
            assert answer.status == 200 and body.startswith(start)
        assert run.get("/p/empty/a")[1] == b""
        assert run.get("/p/halved/a")[1] == PREVIEW[:len(PREVIEW) // 2]
        answer, body = run.get("/p/gzipped/a")
        assert answer.getheader("Content-Encoding") == "gzip" and gzip.decompress(body) == PREVIEW
        answer, body = run.get("/p/mislabelled/a")
        assert body == PREVIEW and answer.getheader("Content-Type").startswith("text/html")


def test_cut_bodies():
    with Running() as run:
        for path in ("truncated/a", "chunkcut/a"):
            try:
                run.get("/p/" + path)
            except http.client.IncompleteRead as cut:
                assert 0 < len(cut.partial) < len(PREVIEW), path
                continue
            raise AssertionError(path + " came whole")
        try:
            run.get("/p/reset/a")
        except ConnectionResetError:
            pass
        else:
            raise AssertionError("no reset")


def test_framings():
    with Running() as run:
        answer, body = run.get("/p/chunked/a")
        assert body == PREVIEW and answer.getheader("Transfer-Encoding") == "chunked"
        answer, body = run.get("/p/unframed/a")
        assert body == PREVIEW and answer.getheader("Content-Length") is None
        answer, _ = run.get("/p/overlong/a")
        assert int(answer.getheader("Content-Length")) == len(PREVIEW) // 2
        assert len(run.raw(b"GET /p/overlong/a HTTP/1.1\r\n\r\n")) > len(PREVIEW)


def test_goodbye_promises_to_stay_and_leaves():
    with Running() as run:
        got = run.raw(b"GET /p/goodbye/b HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Connection: close" not in got and got.endswith(PREVIEW[:1000])


def test_slow_takes_its_time_and_is_whole():
    with Running() as run:
        started = time.monotonic()
        assert run.get("/p/slow-204800/a")[1] == PREVIEW
        assert time.monotonic() - started >= 0.4  # half a second, less the step it may be ahead


def test_endless_goes_on():
    with Running() as run:
        with run.socket() as s:
            s.sendall(b"GET /p/endless/a HTTP/1.1\r\n\r\n")
            n = 0
            while n < 5 * len(PREVIEW):
                n += len(s.recv(65536))
        assert run.get("/p/a")[0].status == 200


def test_hang_answers_nothing():
    with Running() as run:
        with run.socket(timeout=0.2) as s:
            s.sendall(b"GET /p/hang/a HTTP/1.1\r\n\r\n")
            try:
                assert s.recv(1) is None
            except TimeoutError:
                pass
        assert run.stats()["requests"] == 1


def test_hangup_closes_without_a_word():
    with Running() as run:
        assert run.raw(b"GET /p/hangup/a HTTP/1.1\r\n\r\n") == b""


def test_redirects():
    with Running() as run:
        path, hops = "/p/redirect-3/a?cid=1", 0
        while True:
            answer, body = run.get(path)
            if answer.status != 302:
                break
            path, hops = answer.getheader("Location"), hops + 1
        assert hops == 3 and body == PREVIEW and path == "/p/a?cid=1"
        assert run.get("/p/loop/a")[0].getheader("Location") == "/p/loop/a"
        answer, _ = run.get("/p/foreign-127.0.0.2:81/a")
        assert answer.getheader("Location") == "http://127.0.0.2:81/a"


def test_conditions_and_ranges():
    with Running() as run:
        assert run.get("/p/tagged/a", headers={"If-None-Match": '"v1"'})[0].status == 304
        assert run.get("/p/tagged/a", headers={"If-None-Match": '"v0"'})[1] == PREVIEW
        answer, body = run.get("/p/ranges/a", headers={"Range": "bytes=100-199"})
        assert answer.status == 206 and body == PREVIEW[100:200]
        assert answer.getheader("Content-Range") == f"bytes 100-199/{len(PREVIEW)}"
        assert run.get("/p/ranges/a", headers={"Range": "bytes=999999-"})[0].status == 416
        assert run.get("/p/a", headers={"Range": "bytes=100-199"})[1] == PREVIEW  # ignored
        assert run.get("/p/unasked_part/a")[0].status == 206


def test_published_limits():
    with Running() as run:
        for generation, field in (("x", "X-RateLimit-Remaining"), ("06", "RateLimit-Remaining"),
                                  ("07", "RateLimit"), ("08", "RateLimit-Policy")):
            answer, body = run.get(f"/p/limit-{generation}/a")
            assert body == PREVIEW and answer.getheader(field), generation


def test_old_and_contradictory_heads():
    with Running() as run:
        assert run.raw(b"GET /p/http10/b HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.0 200 OK\r\n")
        assert run.raw(b"GET /p/twolengths/b HTTP/1.1\r\n\r\n").count(b"Content-Length:") == 2
        assert run.get("/p/octets/a")[0].getheader("Content-Type") == "application/octet-stream"
        assert run.get("/p/xml/a")[1].startswith(b"<?xml")


# ---------------------------------------------------------------- search APIs

SONGS = """track_id,name,artist,duration_ms
a,Wonderwall,Oasis,258000
b,Don't Look Back in Anger,Oasis,289000
c,Hoppípolla,Sigur Rós,268000
d,Song of Oasis Fans,The Oasis Tribute,200000
""" + "".join(f"m{i},Many {i},Prolific,{180000 + i}\n" for i in range(132))


class Searching(Running):
    """A server with the songs above, whose links live for `life` seconds."""

    def __init__(self, life=900, **options):
        super().__init__(**options)
        path = os.path.join(self.folder.name, "songs.csv")
        with open(path, "w", encoding="utf-8") as file:
            file.write(SONGS)
        self.server.site = SearchSite(Previews(self.folder.name), Chaos("", "1"),
                                      Api(Songs(path), "", life), "a")

    def search(self, path, **fields):
        answer, body = self.get(path + "?" + urllib.parse.urlencode(fields))
        return answer, json.loads(body)


def test_deezer_searches_by_fields_and_by_words():
    with Searching() as run:
        def titles(q, **more):
            return [t["title"] for t in run.search("/search", q=q, **more)[1]["data"]]

        assert titles('artist:"oasis"') == ["Wonderwall", "Don't Look Back in Anger"]
        assert titles('artist:"OASIS" track:"wonderwall"') == ["Wonderwall"]
        assert titles('artist:"sigur ros"') == ["Hoppípolla"]
        assert titles("oasis anger") == ["Don't Look Back in Anger"]
        assert titles("nothing like that") == []
        assert run.search("/search", q="")[1]["error"]["code"] == 500


def test_deezer_pages():
    with Searching() as run:
        _, page = run.search("/search", q='artist:"Prolific"', limit=100)
        assert len(page["data"]) == 100 and page["total"] == 132
        assert page["next"].startswith("https://api.deezer.com/search?q=")
        _, page = run.search("/search", q='artist:"Prolific"', limit=1000, index=100)
        assert len(page["data"]) == 32 and "next" not in page
        assert run.stats()["calls"] == {"deezer": 2, "itunes": 0}


def test_signed_links_are_held_to_signature_and_expiry():
    with Searching(life=2) as run:
        link = run.search("/search", q='artist:"Oasis" track:"Wonderwall"')[1]["data"][0]["preview"]
        assert run.get(link)[1] == PREVIEW
        assert run.get(link.replace("hmac=", "hmac=0"))[0].status == 403
        assert run.get(link.partition("?")[0])[0].status == 403
        time.sleep(2.1)
        assert run.get(link)[0].status == 403


def test_itunes():
    with Searching() as run:
        answer, body = run.get("/search?term=oasis+wonderwall&entity=song&limit=5")
        assert answer.getheader("Content-Type") == "text/javascript; charset=utf-8"
        assert body.startswith(b"\n\n\n{")
        found = json.loads(body)
        assert found["resultCount"] == 1 and found["results"][0]["trackName"] == "Wonderwall"
        assert "previewUrl" not in found["results"][0]  # every fiftieth has none
        _, found = run.search("/search", term="anger", entity="song")
        assert run.get(found["results"][0]["previewUrl"])[1] == PREVIEW


def test_refusals_of_apis():
    with Searching(watch=Watch(1, 60.0), enforce=True) as run:
        assert "data" in run.search("/search", q="oasis")[1]
        answer, page = run.search("/search", q="oasis")
        assert answer.status == 200 and page["error"]["code"] == 4
        answer, body = run.get("/search?term=oasis")
        assert answer.status == 403 and body == b"" and answer.getheader("Retry-After") is None


def test_moods():
    with Searching() as run:
        codes = [run.search("/quota-2/search", q="oasis")[1].get("error") for _ in range(3)]
        assert [bool(code) for code in codes] == [True, True, False]
        assert run.get("/bom/search?q=oasis")[1].startswith(b"\xef\xbb\xbf{")
        assert len(run.get("/huge/search?q=oasis")[1]) > 5 << 20
        assert run.get("/empty403/search?q=oasis")[0].status == 403


def test_limit_is_watched_and_enforced():
    with Running(watch=Watch(3, 60.0)) as run:
        assert [run.get("/p/b")[0].status for _ in range(5)] == [200] * 5
        assert run.stats()["violations"]["sliding_log"] == 2
        run.get("/stats/reset", method="POST")
        assert run.stats()["violations"]["sliding_log"] == 0
    with Running(watch=Watch(3, 60.0), enforce=True, client_header="X-Client") as run:
        codes = [run.get("/p/b", headers={"X-Client": c})[0].status for c in "aaaab"]
        assert codes == [200, 200, 200, 429, 200]
        assert run.stats()["violations_by_client"]["a"]["token_bucket"] == 1


def test_round_trip_is_imitated():
    with Running(rtt_s=0.2) as run:
        started = time.monotonic()
        run.get("/p/b")
        assert time.monotonic() - started >= 0.2
        assert run.stats()["max_in_flight"] == 1


def test_many_at_once():
    with Running() as run:
        connections = [run.connect() for _ in range(50)]
        for connection in connections:
            connection.request("GET", "/p/slow-1000000/a")
        for connection in connections:
            assert connection.getresponse().read() == PREVIEW
            connection.close()
        stats = run.stats()
        assert stats["requests"] == 50 and stats["max_in_flight"] > 1


if __name__ == "__main__":
    sys.exit(tap.run(globals()))
