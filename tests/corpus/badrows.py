"""Rows as they come in the wild, and what must become of each.

make() gives CSV bytes to append to the catalogue and expected.csv: track_id,state,cause for every
row of the whole catalogue, as `refrain status --rows` reports them. A row that cannot be read has
no track id there.
"""

import os

import catalog
from draw import Draw
from midi import score_bytes
from render import find_soundfont, render, render_silence
from version import play

SHORT_SECONDS = 6  # below the 10 s that a clip needs

# name, behaviour of previewd (a path prefix), state, cause
SERVED = (
    ("dead link", "404/", "GONE", "http_404"),
    ("taken away", "410/", "GONE", "http_410"),
    ("a page in place of audio", "html/", "REJECTED", "html"),
    ("an error object with status 200", "json/", "REJECTED", "json"),
    ("nothing at all", "empty/", "REJECTED", "empty"),
    ("refused", "403xml/", "DEAD", "http_403"),
    ("always failing", "status-500/", "DEAD", "http_500"),
    ("cut on the way", "truncated/", "DEAD", "truncated"),
    ("cut in mid-frame, chunked", "chunkcut/", "DEAD", "truncated"),
    ("reset in the middle", "reset/", "DEAD", "truncated"),
    ("hung up on", "hangup/", "DEAD", "reset"),
    ("too slow", "slow-400/", "DEAD", "timeout"),
    ("redirected for ever", "loop/", "DEAD", "redirects"),
    ("down once", "r503x1/", "DONE", ""),
    ("throttled twice", "r429x2/", "DONE", ""),
    ("throttled until a date", "r429x1-date/", "DONE", ""),
    ("slow", "slow-300000/", "DONE", ""),
    ("chunked", "chunked/", "DONE", ""),
    ("three redirects", "redirect-3/", "DONE", ""),
    ("called a web page, is audio", "mislabelled/", "DONE", ""),
    ("cut on the server", "halved/", "REJECTED", "cut"),
)

LINKS = (
    ("no link", ""),
    ("link nan", "nan"),
    ("link NULL", "NULL"),
    ("link malformed", "http//no-colon/x"),
    ("link without host", "http:///mp3-preview/x"),
    ("link ftp", "ftp://127.0.0.1/preview.mp3"),
    ("link of words", "not a link, really"),
)


class BadRows:
    def __init__(self, args, tracks):
        self.args = args
        self.tracks = tracks
        self.lines = []  # bytes, with their line ends
        self.expected = [(t.track_id, "DONE", "") for t in tracks]

    def new_track_id(self, name):
        draw = Draw(self.args.seed, "bad", name)
        return f"TR{draw.letters(catalog.UPPER, 5)}128F{draw.letters(catalog.HEX, 7)}"

    def row(self, track, name, url):
        """A whole row in the schema, like an ordinary one but for name and link."""
        values = dict(self.tracks[0].row, track_id=track, name=name, spotify_preview_url=url)
        return catalog.csv_text([values[c] for c in catalog.COLUMNS], []).encode()

    def add(self, name, url, state, cause):
        track = self.new_track_id(name)
        self.lines.append(self.row(track, name, url))
        self.expected.append((track, state, cause))

    def add_unreadable(self, line, cause):
        self.lines.append(line)
        self.expected.append(("", "BAD_ROW", cause))

    def add_broken_lines(self):
        base = self.args.base_url
        whole = self.row(self.new_track_id("broken"), "Whole", catalog.preview_url(base, "x"))
        fields = whole.split(b",")
        self.add_unreadable(fields[0] + b',"Never closed,' + b",".join(fields[2:]), "lone_quote")
        self.add_unreadable(b"TRSHORTROW128F0000,only,three\n", "few_fields")
        self.add_unreadable(b",".join([fields[0], b"Caf\xe9 \xff\xfe", *fields[2:]]), "bad_utf8")
        self.add_unreadable(b",".join([fields[0], b"Nul\x00byte", *fields[2:]]), "nul_byte")
        self.add_unreadable(b",".join([b"", *fields[1:]]), "no_track_id")

    def add_served(self):
        """Rows whose trouble is the server's; they point at previews that are fine."""
        for i, (name, behaviour, state, cause) in enumerate(SERVED):
            real = self.tracks[i % len(self.tracks)].track_id
            self.add(name, catalog.preview_url(self.args.base_url, real, behaviour), state, cause)

    def add_poor_audio(self):
        """Previews that are audio and still of no use."""
        def short(path):
            render_short(self.args, self.tracks[0], path)

        def silent(path):
            render_silence(self.args.seconds, path)

        for name, make_file, cause in (("too short", short, "TOO_SHORT"),
                                       ("silent", silent, "SILENT")):
            track = self.new_track_id(name)
            path = os.path.join(self.args.out, "previews", catalog.preview_name(track))
            if not self.args.no_audio and not os.path.exists(path):
                make_file(path)
            self.lines.append(self.row(track, name, catalog.preview_url(self.args.base_url, track)))
            self.expected.append((track, "REJECTED", cause))

    def add_all(self):
        self.add_broken_lines()
        for name, link in LINKS:
            self.add(name, link, "NO_MATCH", "no_link")
        first = self.tracks[0]
        link = first.row["spotify_preview_url"]
        self.lines.append(self.row(first.track_id, first.row["name"], link))
        self.expected.append((first.track_id, "DUP", "same_track_id"))
        self.add('A name, with a comma, a "quote"\nand a second line', link + "?n=2", "DONE", "")
        self.add_served()
        self.add_poor_audio()


def render_short(args, track, path):
    score = play(args.seed, track.version, SHORT_SECONDS)
    render(find_soundfont(), score_bytes(score), SHORT_SECONDS, {}, path)


def make(args, tracks):
    """(CSV bytes, expected.csv bytes)."""
    rows = BadRows(args, tracks)
    rows.add_all()
    expected = catalog.csv_text(("track_id", "state", "cause"), rows.expected)
    return b"".join(rows.lines), expected.encode()
