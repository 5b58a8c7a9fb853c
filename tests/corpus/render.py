"""MIDI to a 30 s MP3 as preview CDNs serve it: FluidSynth renders, FFmpeg encodes, a pipe between.

Samples never touch the disk. The MP3 appears under its name only when it is whole, so an
interrupted run can be repeated.
"""

import os
import subprocess
import tempfile

from live import filter_graph, noise_source

RATE_HZ = 44100
BITRATE = "96k"
SOUNDFONTS = ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/sounds/sf2/default-GM.sf2")
# Voices at once, reverb and chorus decide the time that a render takes: 256 voices cost twice what
# 40 cost, and nobody hears the tails that are cut.
POLYPHONY = 40
GAIN = "1.0"


class RenderError(Exception):
    pass


def find_soundfont():
    for path in SOUNDFONTS:
        if os.path.exists(path):
            return path
    raise RenderError("no General MIDI soundfont: install fluid-soundfont-gm "
                      f"(looked for {', '.join(SOUNDFONTS)})")


def synth_command(soundfont, midi_path):
    return ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-g", GAIN, "-r", str(RATE_HZ),
            "-o", "synth.dynamic-sample-loading=1", "-o", f"synth.polyphony={POLYPHONY}",
            "-T", "raw", "-O", "s16", "-F", "/dev/stdout", soundfont, midi_path]


def encode_command(source, seconds, tags, mp3_path):
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *source, "-t", str(seconds),
               "-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact"]
    for key, value in tags.items():
        command += ["-metadata", f"{key}={value}"]
    # The encoder's fast setting halves its time; at 96 kbit/s of synthesised music it is not heard.
    return command + ["-c:a", "libmp3lame", "-b:a", BITRATE, "-compression_level", "7",
                      "-id3v2_version", "3", "-f", "mp3", mp3_path]


def check(name, process, stderr):
    if process.returncode != 0:
        text = stderr.decode(errors="replace").strip()
        raise RenderError(f"{name} ended with {process.returncode}: {text[-500:]}")


def render(soundfont, midi_bytes, seconds, tags, mp3_path, live=None):
    """Writes the MP3 of a score, fading the last half second as previews do."""
    temporary = mp3_path + ".part"
    fade = f"afade=t=out:st={seconds - 0.5}:d=0.5"
    raw = ["-f", "s16le", "-ar", str(RATE_HZ), "-ac", "2", "-i", "pipe:0"]
    if live is None:
        raw += ["-af", f"apad,{fade}"]
    else:
        raw += [*noise_source(live, RATE_HZ), "-filter_complex", filter_graph(live, fade)]
    with tempfile.NamedTemporaryFile(suffix=".mid") as midi:
        midi.write(midi_bytes)
        midi.flush()
        synth = subprocess.Popen(synth_command(soundfont, midi.name), stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
        encode = subprocess.Popen(encode_command(raw, seconds, tags, temporary),
                                  stdin=synth.stdout, stderr=subprocess.PIPE)
        synth.stdout.close()
        _, errors = encode.communicate()
        synth.wait()
    check("ffmpeg", encode, errors)
    # ffmpeg closes the pipe once it has its seconds; the synthesiser then ends by SIGPIPE.
    if os.path.getsize(temporary) < seconds * 8000:
        raise RenderError(f"{mp3_path}: only {os.path.getsize(temporary)} bytes; fluidsynth ended "
                          f"with {synth.returncode}")
    os.replace(temporary, mp3_path)


def render_silence(seconds, mp3_path):
    """An MP3 of digital silence, for the bad-input tests."""
    source = ["-f", "lavfi", "-i", f"anullsrc=r={RATE_HZ}:cl=stereo"]
    temporary = mp3_path + ".part"
    done = subprocess.run(encode_command(source, seconds, {}, temporary), stderr=subprocess.PIPE,
                          check=False)
    check("ffmpeg", done, done.stderr)
    os.replace(temporary, mp3_path)


def render_copy(mp3_in, audio_filter, seconds, bitrate, mp3_path):
    """The same recording through a filter, encoded anew."""
    temporary = mp3_path + ".part"
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", mp3_in, "-af", audio_filter,
               "-t", str(seconds), "-map_metadata", "-1", "-fflags", "+bitexact",
               "-flags:a", "+bitexact", "-c:a", "libmp3lame", "-b:a", bitrate,
               "-compression_level", "7", "-f", "mp3", temporary]
    done = subprocess.run(command, stderr=subprocess.PIPE, check=False)
    check("ffmpeg", done, done.stderr)
    os.replace(temporary, mp3_path)
