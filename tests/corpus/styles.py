"""Genres as presets: which instruments, accompaniments and drums a version may choose from.

Instrument numbers are General MIDI programs counted from 0.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    genre: str  # as in the catalogue's `genre` column; "" where the column has no such genre
    tags: tuple
    leads: tuple
    comps: tuple  # instruments of the accompaniment pattern
    pads: tuple  # sustained chords; empty: none
    basses: tuple
    patterns: tuple  # names in accompany.COMPS
    bass_lines: tuple  # names in accompany.BASSES
    drums: tuple  # names in accompany.DRUMS
    swing: float  # 0: straight, 1: triplets
    energy: float  # 0..1: loudness and the catalogue's attribute
    acoustic: float  # 0..1, the catalogue's attribute


STYLES = {
    "rock": Style("Rock", ("rock", "classic_rock", "alternative", "indie", "british"),
                  leads=(29, 27, 65, 18), comps=(27, 29, 25), pads=(18, 48), basses=(33, 34),
                  patterns=("eighths", "power", "stabs"), bass_lines=("eighths", "root_fifth"),
                  drums=("rock", "half_time"), swing=0.0, energy=0.8, acoustic=0.05),
    "metal": Style("Metal", ("metal", "heavy_metal", "hard_rock"),
                   leads=(30, 29, 81), comps=(30,), pads=(48, 52), basses=(34,),
                   patterns=("power", "eighths"), bass_lines=("eighths",),
                   drums=("double_kick", "rock"), swing=0.0, energy=0.95, acoustic=0.01),
    "pop": Style("Pop", ("pop", "female_vocalists", "80s", "love"),
                 leads=(53, 0, 11, 80, 54), comps=(0, 4, 25), pads=(50, 89, 48),
                 basses=(33, 38, 39), patterns=("eighths", "arpeggio", "block"),
                 bass_lines=("root_fifth", "eighths", "long"),
                 drums=("rock", "four_floor", "ballad"), swing=0.0, energy=0.65, acoustic=0.25),
    "electronic": Style("Electronic", ("electronic", "house", "techno", "dance", "downtempo"),
                        leads=(80, 81, 87, 84), comps=(90, 88, 5), pads=(89, 94, 95),
                        basses=(38, 39, 87), patterns=("offbeat", "arpeggio16", "stabs"),
                        bass_lines=("octaves", "offbeat"), drums=("four_floor", "breakbeat"),
                        swing=0.0, energy=0.85, acoustic=0.02),
    "folk": Style("Folk", ("folk", "acoustic", "singer_songwriter", "mellow"),
                  leads=(73, 22, 110, 21, 40), comps=(24, 25, 46), pads=(), basses=(32,),
                  patterns=("picking", "strum", "arpeggio"), bass_lines=("long", "root_fifth"),
                  drums=("none", "none", "shaker"), swing=0.0, energy=0.35, acoustic=0.9),
    "country": Style("Country", ("country", "americana", "guitar"),
                     leads=(25, 110, 22, 105), comps=(25, 24), pads=(), basses=(32, 33),
                     patterns=("boom_chick", "strum"), bass_lines=("root_fifth",),
                     drums=("train", "rock"), swing=0.2, energy=0.55, acoustic=0.6),
    "jazz": Style("Jazz", ("jazz", "lounge", "soul", "instrumental"),
                  leads=(65, 66, 56, 11, 71), comps=(0, 26), pads=(), basses=(32,),
                  patterns=("stabs", "charleston", "block"), bass_lines=("walking",),
                  drums=("ride", "brushes"), swing=1.0, energy=0.4, acoustic=0.75),
    "classical": Style("", ("classical", "instrumental", "piano", "beautiful"),
                       leads=(40, 68, 71, 73, 42), comps=(0, 6, 46, 45), pads=(48, 52),
                       basses=(43, 42), patterns=("alberti", "arpeggio", "block"),
                       bass_lines=("long", "root_fifth"), drums=("none",),
                       swing=0.0, energy=0.25, acoustic=0.97),
    "latin": Style("Latin", ("latin", "world", "bossa_nova", "salsa"),
                   leads=(24, 56, 73, 12), comps=(24, 0), pads=(49,), basses=(32, 33),
                   patterns=("bossa", "montuno", "picking"), bass_lines=("tresillo", "root_fifth"),
                   drums=("bossa", "clave"), swing=0.0, energy=0.6, acoustic=0.55),
    "reggae": Style("Reggae", ("reggae", "dub", "ska"),
                    leads=(16, 56, 27, 22), comps=(27, 16), pads=(), basses=(33, 38),
                    patterns=("offbeat",), bass_lines=("dub", "root_fifth"),
                    drums=("one_drop",), swing=0.3, energy=0.55, acoustic=0.15),
    "soul": Style("RnB", ("rnb", "soul", "funk", "70s"),
                  leads=(65, 53, 4, 7), comps=(4, 27, 16), pads=(50,), basses=(36, 33),
                  patterns=("stabs", "charleston", "eighths"), bass_lines=("octaves", "tresillo"),
                  drums=("breakbeat", "half_time"), swing=0.2, energy=0.6, acoustic=0.2),
    "blues": Style("Blues", ("blues", "guitar", "60s"),
                   leads=(27, 22, 66, 26), comps=(0, 16, 25), pads=(), basses=(33, 32),
                   patterns=("boom_chick", "block", "stabs"), bass_lines=("walking", "root_fifth"),
                   drums=("shuffle",), swing=0.9, energy=0.5, acoustic=0.4),
    "ambient": Style("New Age", ("ambient", "chillout", "downtempo", "new_age"),
                     leads=(75, 14, 92, 78), comps=(46, 88, 8), pads=(89, 91, 95), basses=(39, 43),
                     patterns=("arpeggio", "block", "picking"), bass_lines=("long",),
                     drums=("none", "shaker"), swing=0.0, energy=0.2, acoustic=0.5),
    "world": Style("World", ("world", "traditional", "ethnic"),
                   leads=(104, 77, 107, 108, 15), comps=(107, 46, 15), pads=(), basses=(32, 43),
                   patterns=("picking", "arpeggio", "strum"), bass_lines=("long", "tresillo"),
                   drums=("hand_drums", "shaker"), swing=0.0, energy=0.4, acoustic=0.8),
}
