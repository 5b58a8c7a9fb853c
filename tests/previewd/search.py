"""The search APIs of Deezer and iTunes, and the links they give, over a catalogue of songs.

    /search?q=artist:"X" track:"Y"&limit=100&index=0      Deezer; free words do as well
    /search?term=words&entity=song&limit=200              iTunes
    /api/1/1/a/b/c/0/MD5.mp3?hdnea=exp=...~hmac=...       Deezer's previews: signed, for --link-life
    /itunes-assets/.../mzaf_N.plus.aac.p.m4a              iTunes' previews

Shapes, limits and error codes are those that clients of 2026 captured. Segments before /search are
behaviours of an API in a bad mood: /quota-3/search refuses three times, /bom/search begins with a
byte order mark.
"""

import csv
import gzip
import hashlib
import hmac
import json
import re
import time
import unicodedata
import urllib.parse
import zlib

from behaviours import RESET, Reply, Site, plain

SECRET = b"previewd"
DEEZER_LIMIT_MAX, ITUNES_LIMIT_MAX = 100, 200
QUOTA = {"error": {"type": "Exception", "message": "Quota limit exceeded", "code": 4}}
BUSY = {"error": {"type": "Exception", "message": "Service busy", "code": 700}}
NO_DATA = {"error": {"type": "DataException", "message": "no data", "code": 800}}
EMPTY_QUERY = {"error": {"type": "ParameterException", "message": "Wrong parameter: empty parameter",
                         "code": 500}}
PERMISSION = {"error": {"type": "OAuthException", "message": "An active access token must be used",
                        "code": 200}}


def fold(text):
    """Case, accents and punctuation away: what a search makes of a query and of a title."""
    plain_text = "".join(c for c in unicodedata.normalize("NFKD", text.casefold())
                         if not unicodedata.combining(c))
    return " ".join(re.findall(r"\w+", plain_text)) or text.casefold().strip()


class Songs:
    """A catalogue that can be searched. `number` of a song is its place in the CSV."""

    def __init__(self, path):
        opener = gzip.open if path.endswith(".gz") else open
        self.rows = []
        self.by_artist, self.by_word = {}, {}
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                number = len(self.rows)
                self.rows.append((row["name"], row["artist"], int(float(row["duration_ms"] or 0))))
                self.by_artist.setdefault(fold(row["artist"]), []).append(number)
        self.by_link = {self.digest(n): n for n in range(len(self.rows))}

    @staticmethod
    def digest(number):
        return hashlib.md5(f"song {number}".encode()).hexdigest()

    def of_artist(self, name):
        """Songs of the artist, and after them those of artists whose names hold the name."""
        exact = self.by_artist.get(name, [])
        return exact or [n for artist, songs in self.by_artist.items()
                         if f" {name} " in f" {artist} " for n in songs]

    def words_index(self):
        if not self.by_word:
            for number, (title, artist, _) in enumerate(self.rows):
                for word in set(fold(f"{title} {artist}").split()):
                    self.by_word.setdefault(word, set()).add(number)
        return self.by_word

    def with_words(self, words):
        found = [self.words_index().get(word, set()) for word in words.split()]
        return sorted(set.intersection(*found)) if found else []


def sign(path, expires):
    text = f"exp={expires}~acl={path}*~data=user_id=0,application_id=42"
    digest = hmac.new(SECRET, f"{text}~{path}".encode(), hashlib.sha256).hexdigest()
    return f"{text}~hmac={digest}"


def is_signed(path, query, now):
    match = re.fullmatch(r"hdnea=(exp=(\d+)~.*)", urllib.parse.unquote(query))
    return bool(match) and int(match[2]) > now and hmac.compare_digest(
        sign(path, int(match[2])), match[1])


class Api:
    """Answers to searches. `cdn` is the address that links begin with."""

    def __init__(self, songs, cdn, link_life_s=900):
        self.songs, self.cdn, self.link_life_s = songs, cdn, link_life_s
        self.calls = {"deezer": 0, "itunes": 0}

    def search(self, path, query):
        fields = urllib.parse.parse_qs(query, keep_blank_values=True)
        kind = "deezer" if "q" in fields else "itunes"
        self.calls[kind] += 1
        if kind == "deezer":
            return json_reply(self.deezer(path, fields))
        body = b"\n\n\n" + json.dumps(self.itunes(fields)).encode()
        return Reply(200, body, "text/javascript; charset=utf-8",
                     (("Cache-Control", "no-transform, max-age=57"),))

    def refusal(self, query):
        """What comes over the limit: Deezer says so with status 200, iTunes says nothing at all."""
        if re.search(r"(^|&)q=", query):
            return json_reply(QUOTA)
        return Reply(403, b"", "text/html", (("Cache-Control", "max-age=0, no-cache, no-store"),),
                     ending="close")

    # ------------------------------------------------------------ Deezer

    def deezer(self, path, fields):
        q = fields["q"][0].strip()
        if not q:
            return EMPTY_QUERY
        limit = min(int(fields.get("limit", ["25"])[0]), DEEZER_LIMIT_MAX)
        index = int(fields.get("index", ["0"])[0])
        found = self.deezer_matches(q)
        page = {"data": [self.deezer_track(n) for n in found[index:index + limit]],
                "total": len(found)}
        if index + limit < len(found):
            more = urllib.parse.urlencode({"q": q, "limit": limit, "index": index + limit})
            page["next"] = f"https://api.deezer.com{path}?{more}"
        return page

    def deezer_matches(self, q):
        named = dict(re.findall(r'(artist|track):"([^"]*)"', q))
        if not named:
            return self.songs.with_words(fold(q))
        found = self.songs.of_artist(fold(named.get("artist", "")))
        if "track" in named:
            title = fold(named["track"])
            found = [n for n in found if f" {title} " in f" {fold(self.songs.rows[n][0])} "]
        return found

    def deezer_track(self, number):
        title, artist, duration_ms = self.songs.rows[number]
        digest = self.songs.digest(number)
        path = f"/api/1/1/{digest[0]}/{digest[1]}/{digest[2]}/0/{digest}.mp3"
        expires = int(time.time() + self.link_life_s)
        return {"id": 3_000_000_000 + number, "readable": True, "title": title,
                "title_short": title, "title_version": "", "isrc": f"ZZXX1{number:07d}",
                "link": f"https://www.deezer.com/track/{number}", "duration": duration_ms // 1000,
                "rank": 1_000_000 - number % 1000, "explicit_lyrics": False,
                "preview": f"{self.cdn}{path}?hdnea={sign(path, expires)}",
                "artist": {"id": zlib.crc32(artist.encode()), "name": artist, "type": "artist"},
                "album": {"id": number // 10, "title": "An album", "type": "album"},
                "type": "track"}

    # ------------------------------------------------------------ iTunes

    def itunes(self, fields):
        term = fold(fields.get("term", [""])[0])
        limit = min(int(fields.get("limit", ["50"])[0]), ITUNES_LIMIT_MAX)
        found = self.songs.of_artist(term) or self.songs.with_words(term)
        results = [self.itunes_song(n) for n in found[:limit]]
        return {"resultCount": len(results), "results": results}

    def itunes_song(self, number):
        title, artist, duration_ms = self.songs.rows[number]
        song = {"wrapperType": "track", "kind": "song", "artistId": number, "trackId": number,
                "artistName": artist, "collectionName": "An album", "trackName": title,
                "artworkUrl100": None, "trackPrice": 1.29, "trackTimeMillis": duration_ms,
                "country": "USA", "currency": "USD", "isStreamable": True}
        if number % 50:  # some have no preview
            song["previewUrl"] = (f"{self.cdn}/itunes-assets/AudioPreview115/v4/0a/0b/0c/"
                                  f"{number:08d}-0000-0000-0000-000000000000/"
                                  f"mzaf_{number:019d}.plus.aac.p.m4a")
        return song


def json_reply(value, status=200):
    return Reply(status, json.dumps(value, ensure_ascii=False).encode(),
                 "application/json; charset=utf-8")


# ---------------------------------------------------------------- moods

def changed(reply, body):
    reply.body = body
    return reply


def first_item(reply, **fields):
    """The page with these fields in its first item."""
    page = json.loads(reply.body)
    items = page.get("data") or page.get("results")
    if items:
        items[0].update(fields)
    return changed(reply, json.dumps(page).encode())


MOODS = {
    "bom": lambda reply, n: changed(reply, b"\xef\xbb\xbf" + reply.body),
    "blank": lambda reply, n: changed(reply, b"\r\n \n\n" + reply.body),
    "cutjson": lambda reply, n: changed(reply, reply.body[:len(reply.body) // 2]),
    "badutf8": lambda reply, n: changed(reply, reply.body.replace(b'"title"', b'"t\xff\xfe"')),
    "deep": lambda reply, n: changed(reply, b"[" * 100_000 + b"]" * 100_000),
    "nul": lambda reply, n: first_item(reply, title="a\0b", preview="http://x/\0"),
    "surrogate": lambda reply, n: changed(reply, reply.body.replace(b'"title": "', b'"title": "\\ud800', 1)),
    "huge": lambda reply, n: changed(reply, b'{"data":[' + b'"' + b"x" * (5 << 20) + b'"]}'),
    "page": lambda reply, n: plain(200, b"<html>maintenance</html>", "text/html"),
    "nopreview": lambda reply, n: first_item(reply, preview="", previewUrl=None),
    "busy": lambda reply, n: json_reply(BUSY),
    "nodata": lambda reply, n: json_reply(NO_DATA),
    "permission": lambda reply, n: json_reply(PERMISSION),
    "empty403": lambda reply, n: Reply(403, b"", "text/html", ending="close"),
    "quota": lambda reply, n: json_reply(QUOTA),
    "gone": lambda reply, n: plain(404, b"", "text/plain"),
    "error500": lambda reply, n: plain(500, b"oops", "text/plain"),
    "cutoff": lambda reply, n: changed(reply, reply.body) and setattr(reply, "ending", RESET)
    or setattr(reply, "stop_after", len(reply.body) // 2) or reply,
}


class SearchSite(Site):
    """Searches and what they link to; anything else as Site has it."""

    def __init__(self, previews, chaos, api, preview_name):
        super().__init__(previews, chaos)
        self.api, self.preview_name = api, preview_name
        self.moods_left = {}

    def answer(self, path, query):
        if path.endswith("/search"):
            return self.in_mood(path, query)
        if path.startswith("/api/1/1/"):
            return self.signed(path, query)
        if path.startswith("/itunes-assets/"):
            return super().answer(f"/{self.preview_name}", "")
        return super().answer(path, query)

    def refusal(self, path, query):
        return self.api.refusal(query) if path.endswith("/search") else None

    def signed(self, path, query):
        if not is_signed(path, query, time.time()):
            return plain(403, b"Access Denied", "text/html")
        digest = path.rsplit("/", 1)[1].removesuffix(".mp3")
        if digest not in self.api.songs.by_link:
            return plain(404, b"", "text/html")
        return super().answer(f"/{self.preview_name}", "")

    def in_mood(self, path, query):
        """quota-3: the first three are answered so; without a number all are."""
        reply = None
        for segment in path.strip("/").split("/")[:-1]:
            name, _, times = segment.partition("-")
            if name not in MOODS:
                continue
            left = self.moods_left.setdefault(path + segment, int(times) if times else -1)
            if left == 0:
                continue
            self.moods_left[path + segment] = left - 1
            reply = MOODS[name](reply or self.api.search(path, query), times)
        return reply or self.api.search(path, query)
