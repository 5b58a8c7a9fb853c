"""music_info.csv: the real schema, filled from what was composed."""

import csv
import hashlib
import io

from draw import Draw
from styles import STYLES
from theory import MAJOR
from work import BARS

COLUMNS = ("track_id", "name", "artist", "spotify_preview_url", "spotify_id", "tags", "genre",
           "year", "duration_ms", "danceability", "energy", "key", "loudness", "mode", "speechiness",
           "acousticness", "instrumentalness", "liveness", "valence", "tempo", "time_signature")

CLIENT_ID = "774b29d4f13844c495f206cafdad9c86"  # the cid that real links carry
UPPER = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
HEX = "0123456789ABCDEF"
BASE62 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

# Titles and artists with what real ones hold: accents, commas, quotes, other scripts, a slash.
TITLE_HEADS = ("Rain", "Café", "Silver", "Midnight", "Señora", "Little", "Northern", "Winter",
               "Ghost", "Brücke", "Paper", "Electric", "Broken", "Été", "Last", "Golden", "Hollow",
               "Łódź", "Wild", "Slow", "Blue", "Ночь", "Glass", "Distant")
TITLE_TAILS = ("River", "Lights", "Morning", "Train", "Garden", "del Alba", "Heart", "Machine",
               "Song", "Waltz", "Letters", "Highway", "Mirror", "für Dich", "Harbour", "Season",
               "Parade", "of Stone", "in the Sky", "Fever", "Horses", "Tide", "à deux", "Dance")
TITLE_FORMS = ("{0} {1}", "{0} {1}", "{0} {1}", "The {0} {1}", "{0}, {1}", 'The "{0}" {1}',
               "{0} {1} (Part 1)", "{0} & {1}", "Don't Forget the {0} {1}", "{0}/{1}")
ARTIST_HEADS = ("The", "Los", "DJ", "Les", "Die", "Saint", "Mr.", "Big", "Young", "Björn", "Zoë",
                "José")
ARTIST_TAILS = ("Lanterns", "Hermanos", "Kilowatt", "Étoiles", "Nachtigallen", "Orchard",
                "Pigeons", "Tucker", "Andersson", "Quintero", "O'Malley", "Sparrows", "Static",
                "Cartographers", "Velvet", "Foxes", "Sigurðsson", "Parallel")
ARTIST_FORMS = ("{0} {1}", "{0} {1}", "{0} {1}", "{1}", "{1}, {0} & Co.", '{0} "Two-Tone" {1}')
COVER_FORMS = ("{}", "{}", "{} (Cover)", "{} - Live", "{} (Acoustic Version)",
               "{} - Remastered 2011")
MOOD_TAGS = ("beautiful", "chillout", "cover", "live", "60s", "80s", "90s", "00s", "mellow",
             "experimental")


def make_title(draw):
    return draw.pick(TITLE_FORMS).format(draw.pick(TITLE_HEADS), draw.pick(TITLE_TAILS))


def make_artist(draw):
    return draw.pick(ARTIST_FORMS).format(draw.pick(ARTIST_HEADS), draw.pick(ARTIST_TAILS))


def track_id(seed, work_index, number):
    """TR, five letters, 128F, seven hex digits: as in the Million Song Dataset."""
    draw = Draw(seed, "track_id", work_index, number)
    return f"TR{draw.letters(UPPER, 5)}128F{draw.letters(HEX, 7)}"


def preview_name(track):
    """The 40 hex digits under which a CDN keeps a preview."""
    return hashlib.sha1(track.encode()).hexdigest()


def preview_url(base_url, track, behaviour=""):
    """`behaviour` is a path prefix of previewd, such as "slow-40000/"."""
    return f"{base_url}/mp3-preview/{behaviour}{preview_name(track)}?cid={CLIENT_ID}"


def clamp(value, low=0.0, high=1.0):
    return max(low, min(high, value))


def audio_attributes(version, draw):
    """The columns that Spotify derives from the sound, as far as the composition knows them."""
    style, tempo = version.style, version.tempo_bpm
    steady = {"none": 0.15, "four_floor": 0.85}.get(version.drums, 0.55)
    energy = clamp(style.energy + draw.between(-0.1, 0.1))
    mood = (0.6 if version.work.mode == MAJOR else 0.35) + (tempo - 110) / 250
    return {
        "danceability": f"{clamp(steady - abs(tempo - 118) / 200 + draw.between(-0.1, 0.15)):.3f}",
        "energy": f"{energy:.3f}",
        "key": version.tonic,
        "loudness": f"{-16 + 12 * energy + draw.between(-1.5, 1.5):.3f}",
        "mode": version.work.mode,
        "speechiness": f"{draw.between(0.024, 0.06):.4f}",
        "acousticness": f"{clamp(style.acoustic + draw.between(-0.05, 0.05), 1e-5):.6g}",
        "instrumentalness": f"{draw.between(0.75, 0.97):.3f}",
        "liveness": f"{draw.between(0.06, 0.3):.4f}",
        "valence": f"{clamp(mood + draw.between(-0.1, 0.1)):.3f}",
        "tempo": f"{tempo:.3f}",
        "time_signature": version.work.beats_per_bar,
    }


def catalog_row(seed, version, base_url):
    """One row as a dict with every column of COLUMNS."""
    work = version.work
    title = make_title(Draw(seed, "title", work.index))
    draw = Draw(seed, "row", work.index, version.number)
    if version.number:
        title = draw.pick(COVER_FORMS).format(title)
    track = track_id(seed, work.index, version.number)
    rounds = draw.integer(4, 8)
    bar_ms = 60000 * work.beats_per_bar / version.tempo_bpm
    tags = draw.sample(version.style.tags, draw.integer(1, len(version.style.tags)))
    tags += draw.sample(MOOD_TAGS, draw.integer(0, 2))
    return {
        "track_id": track,
        "name": title,
        "artist": make_artist(draw),
        "spotify_preview_url": preview_url(base_url, track),
        "spotify_id": draw.letters(BASE62, 22),
        "tags": ", ".join(dict.fromkeys(tags)),
        "genre": version.style.genre if draw.chance(0.6) else "",
        "year": draw.integer(1966, 2021),
        "duration_ms": round(BARS * rounds * bar_ms),
        **audio_attributes(version, draw),
    }


def csv_text(header, rows):
    """RFC 4180 with LF line ends, quoting only where needed, as the real file does."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def catalog_bytes(rows):
    return csv_text(COLUMNS, ([row[c] for c in COLUMNS] for row in rows)).encode()


assert all(s.genre != "" or name == "classical" for name, s in STYLES.items())
