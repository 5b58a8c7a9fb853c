#!/bin/sh
# What two songs share: verdicts on composed songs, the evidence page, bad input, and training on
# versions. Times of passages are held against the composer's own (segments.csv).
set -eu
. "$(dirname "$0")/lib.sh"

corpus_make match20 --works 4 --versions 2 --seed e2e-match --decoys 2 --copies 8 --seconds 20
preview() { # TRACK
    echo "$corpus/previews/$(printf %s "$1" | sha1sum | cut -d' ' -f1)"
}
track() { # COLUMN-VALUES: the id of the row that matches
    grep "$1" "$corpus/truth.csv" | head -n 1 | cut -d, -f1
}
song=$(preview "$(track ',W00000,0,')")
cover=$(preview "$(track ',W00000,1,')")
other=$(preview "$(track ',W00001,0,')")

match() { # A B OPTION...: JSON into $work/match.json
    timeout 300 "$refrain" match "$@" --json >"$work/match.json" 2>"$work/match.log" || {
        cat "$work/match.log"
        return 1
    }
}
got() { json_get "$1" <"$work/match.json"; }
holds() { # EXPRESSION over m, the JSON
    python3 - "$work/match.json" "$1" <<'PY'
import json, sys
m = json.load(open(sys.argv[1]))
if not eval(" ".join(sys.argv[2].split()), {"m": m, "abs": abs, "any": any, "all": all, "len": len}):
    sys.exit(f"not so: {sys.argv[2]}\n{json.dumps(m, indent=1)[:3000]}")
PY
}
refused() { # SENTENCE COMMAND...: fails, and says that
    sentence=$1
    shift
    if "$@" >"$work/out" 2>&1; then
        cat "$work/out"
        return 1
    fi
    grep -q -- "$sentence" "$work/out" || {
        cat "$work/out"
        return 1
    }
}

# ---------------------------------------------------------------- two songs
tap_ok "a song and its cover" match "$song" "$cover" -o "$work/page.html" --embed-audio
tap_ok "the cover is found beyond doubt" holds 'm["cover"]["evalue"] < 1e-3'
tap_ok "and is no copy" holds 'm["copy"]["evalue"] > 1e-2'
tap_ok "the verdict is a version or a passage" holds 'm["verdict"] in ("version", "borrowed")'
tap_ok "the best segment lies where the composer put it" python3 - "$work/match.json" "$corpus" \
    "$(track ',W00000,0,')" "$(track ',W00000,1,')" <<'PY'
import csv, json, sys
match, corpus, a, b = sys.argv[1:]
s = json.load(open(match))["cover"]["segments"][0]
rows = [r for r in csv.DictReader(open(corpus + "/segments.csv"))
        if (r["track_id"], r["other_id"]) == (a, b)]
# A point of the path: the middle of the found passage. Phrases come again (A, A', A''), so the
# place in B is held against all that fits the key; the key and tempo must be right in any case.
assert rows and s["semitones"] == int(rows[0]["semitones"]), (s, rows)
assert abs(s["tempo_ratio"] / float(rows[0]["tempo_ratio"]) - 1) < 0.15, (s, rows)
assert s["a_to_ms"] - s["a_from_ms"] > 3000
PY
tap_ok "the page is one XML document that loads nothing" python3 - "$work/page.html" <<'PY'
import re, sys, xml.dom.minidom
text = open(sys.argv[1], encoding="utf-8").read()
xml.dom.minidom.parseString(text)
assert not re.search(r'(src|href)="(?!#|data:)', text), "something is loaded from elsewhere"
for part in ("not a legal verdict", "similarity matrix", "log-mel spectrogram of A",
             "data:audio/mpeg", 'data-play="a ', "semitones", "prefers-color-scheme:dark",
             "@media print"):
    assert part in text, part
PY
tap_ok "which files were compared, when and with what" holds \
    'm["a"]["sha256"] == "'"$(sha256sum <"$song" | cut -c1-64)"'"
     and m["b"]["sha256"] == "'"$(sha256sum <"$cover" | cut -c1-64)"'"
     and m["a"]["bytes"] == '"$(stat -c %s "$song")"' and m["a"]["format"] == "MP3"
     and m["a"]["rate_hz"] == 44100 and m["a"]["channels"] == 2
     and m["made"]["program"].startswith("refrain ") and len(m["made"]["sequence_spec"]) == 16
     and m["made"]["law"].startswith("shipped") and m["made"]["date"].endswith("Z")'
tap_ok "is on the page" sh -c "grep -q '$(sha256sum <"$song" | cut -c1-64)' '$work/page.html' &&
    grep -q 'What was compared, and with what' '$work/page.html'"
twice() { # the same bytes again, with the date fixed
    export SOURCE_DATE_EPOCH=1700000000
    match "$song" "$cover" -o "$work/one.html" && cp "$work/match.json" "$work/one.json" &&
        match "$song" "$cover" -o "$work/two.html" || return 1
    unset SOURCE_DATE_EPOCH
    cmp "$work/one.html" "$work/two.html" && cmp "$work/one.json" "$work/match.json" &&
        grep -q 2023-11-14T22:13:20Z "$work/two.html" "$work/match.json"
}
tap_ok "the same pair on the same date gives the same bytes" twice
tap_ok "what is no date is refused" refused "SOURCE_DATE_EPOCH=soon is not" \
    env SOURCE_DATE_EPOCH=soon "$refrain" match "$song" "$cover"
tap_ok "--embed-audio needs a page" refused "give -o FILE.html" \
    "$refrain" match "$song" "$other" --embed-audio

tap_ok "two songs that share nothing" match "$song" "$other" -o "$work/mute.html"
tap_ok "nothing beyond doubt is found" holds 'm["verdict"] in ("nothing", "maybe")'
tap_ok "without --embed-audio there is no sound in the page" sh -c \
    "grep -q '</html>' '$work/mute.html' && ! grep -q data:audio '$work/mute.html'"
tap_ok "without --model there is no such figure" holds \
    'm["sounds_like"] is None and "To the model" not in m["sentence"]'

# ---------------------------------------------------------------- the same recording
tap_ok "two identical files" match "$song" "$song"
tap_ok "are the same file, with an E-value near zero, over the whole length" holds \
    'm["verdict"] == "same" and m["copy"]["evalue"] < 1e-50 and m["copy"]["share"] > 0.98'
tap_ok "and align from begin to end" holds \
    'any(s["a_from_ms"] < 1500 and s["a_to_ms"] > 18000 and s["semitones"] == 0
         and abs(s["a_from_ms"] - s["b_from_ms"]) < 300 for s in m["cover"]["segments"])'
ffmpeg -nostdin -v error -i "$song" -af asetrate=46746,aresample=44100 -b:a 64k \
    "$work/shifted.mp3" # 6 % faster and higher
tap_ok "a song against itself shifted" match "$song" "$work/shifted.mp3"
tap_ok "is a copy, played 6 % faster" holds \
    'm["verdict"] == "copy" and abs(m["copy"]["tempo_ratio"] - 1.06) < 0.005
     and abs(m["copy"]["pitch_ratio"] - 1.06) < 0.005 and m["copy"]["share"] > 0.9'
tap_ok "and the other way round slower" match "$work/shifted.mp3" "$song"
tap_ok "by as much" holds 'abs(m["copy"]["tempo_ratio"] * 1.06 - 1) < 0.005'
tap_ok "copies cut to 5 s are found where they were cut" python3 - "$corpus" "$refrain" <<'PY'
import csv, hashlib, json, subprocess, sys
corpus, refrain = sys.argv[1:]
for row in list(csv.DictReader(open(corpus + "/copies.csv")))[4:7:2]:  # cut; all in tests/soak
    name = hashlib.sha1(row["track_id"].encode()).hexdigest()
    run = subprocess.run([refrain, "match", f"{corpus}/previews/{name}",
                          f"{corpus}/copies/{row['file']}", "--json"],
                         stdout=subprocess.PIPE, check=True)
    m = json.loads(run.stdout)
    c = m["copy"]
    assert m["verdict"] in ("copy", "same") and c["evalue"] < 1e-6, (row, c)
    assert c["share"] > 0.85, (row, c)
    assert abs(c["a_from_ms"] / 1000 - float(row["start_s"])) < 0.6, (row, c)
    assert abs(c["pitch_ratio"] / float(row["pitch_ratio"]) - 1) < 0.006, (row, c)
PY

# ---------------------------------------------------------------- bad input
wav() { ffmpeg -nostdin -v error -y "$@"; }
wav -f lavfi -i anullsrc=r=22050:cl=mono -t 20 "$work/silent.wav"
tap_ok "silent" refused "is silent: no sample above -72 dB" "$refrain" match "$song" "$work/silent.wav"
wav -f lavfi -i "flite=text='The quick brown fox jumps over the lazy dog. She sells sea shells by
 the sea shore. How much wood would a woodchuck chuck if a woodchuck could chuck wood.':voice=slt" \
    "$work/speech.wav"
tap_ok "spoken" match "$song" "$work/speech.wav"
tap_ok "is nothing that songs share" holds 'm["verdict"] == "nothing"'
wav -i "$song" -ss 10 -t 3 "$work/short.wav"
tap_ok "shorter than 5 s" match "$song" "$work/short.wav"
tap_ok "is a copy but not aligned, and says why" holds \
    'm["verdict"] == "copy" and m["cover"] is None and "needs 5 s" in m["b"]["not_aligned"]'
wav -f lavfi -i sine=f=440:r=22050 -t 1 "$work/second.wav"
tap_ok "a second of sound" match "$song" "$work/second.wav"
tap_ok "is nothing" holds 'm["verdict"] == "nothing" and m["cover"] is None'
wav -i "$song" -ac 1 -ar 8000 "$work/low.wav"
python3 - "$work/low.wav" "$work/hour.wav" <<'PY'
import sys, wave
with wave.open(sys.argv[1]) as song, wave.open(sys.argv[2], "wb") as hour:
    frames = song.readframes(song.getnframes())
    hour.setparams(song.getparams())
    hour.writeframes(bytes(len(frames) * 90))  # half an hour of nothing
    hour.writeframes(frames)
    hour.writeframes(bytes(len(frames) * 89))
PY
wav -i "$song" -ss 8 -t 6 "$work/passage.wav"
tap_ok "an hour long" match "$work/passage.wav" "$work/hour.wav"
tap_ok "holds a passage after half an hour" holds \
    'm["verdict"] == "copy" and abs(m["copy"]["b_from_ms"] - 1808000) < 1500'
echo "no song" >"$work/text.mp3"
tap_ok "not audio" refused "NOT_AUDIO" "$refrain" match "$song" "$work/text.mp3"
tap_ok "no such file" refused "No such file" "$refrain" match "$song" "$work/none.mp3"
tap_ok "one file only" refused "two audio files" "$refrain" match "$song"

# ---------------------------------------------------------------- learning from versions
data=$work/data
python3 - "$corpus" "$data" <<'PY'
import csv, hashlib, os, shutil, sys
corpus, data = sys.argv[1:]
os.makedirs(data + ".audio")
for row in csv.DictReader(open(corpus + "/truth.csv")):
    name = hashlib.sha1(row["track_id"].encode()).hexdigest()
    shutil.copy(f"{corpus}/previews/{name}", f"{data}.audio/{row['track_id']}.mp3")
PY
# Two of the recordings once more, encoded anew and one of them cut: eval --by copy.
recordings=$(cut -d, -f1 "$corpus/truth.csv" | tail -n +2 |
    grep -v "$(sed -n 6p "$corpus/copies.csv" | cut -d, -f2)" | head -n 2)
cut_s=14
for id in $recordings; do
    ffmpeg -nostdin -v error -i "$data.audio/$id.mp3" -t $cut_s -b:a 48k "$data.audio/$id-again.mp3"
    cut_s=20
done
quietly() { timeout 300 "$@" >"$work/quiet.log" 2>&1 || {
    tail -n 20 "$work/quiet.log"
    return 1
}; }
tap_ok "a data set of the songs" quietly "$refrain" init "$data" --audio "$data.audio" \
    --set match.sequences=on --set train.versions=1 --set train.validation_share=0.4 --set augment.positives=1
tap_ok "run" quietly "$refrain" run "$data"
# Which track of the data set is which song: by the file in its link.
python3 - "$data/music_info.csv" "$corpus/truth.csv" "$work/recordings.csv" \
    >"$work/groups.csv" <<'PY'
import csv, os, sys
work = {r["track_id"]: r["work_id"] for r in csv.DictReader(open(sys.argv[2]))}
print("track_id,work_id")
with open(sys.argv[3], "w") as recordings:
    print("track_id,work_id", file=recordings)
    for row in csv.DictReader(open(sys.argv[1])):
        link = next(v for v in row.values() if v and v.endswith(".mp3"))
        recording = os.path.basename(link)[:-4].removesuffix("-again")
        print(row["track_id"] + "," + work[recording])
        print(row["track_id"] + "," + recording, file=recordings)
PY
# ---------------------------------------------------------------- copies, measured
measure() { # GROUPS AXIS OPTION...
    truth=$1
    shift
    "$refrain" eval "$data" --groups "$truth" --by "$@" --json >"$work/match.json" \
        2>"$work/match.log" || {
        cat "$work/match.log"
        return 1
    }
}
tap_ok "eval --by copy" measure "$work/recordings.csv" copy
tap_ok "finds each recording by its copy, encoded anew or cut" holds \
    'm["by"] == "copy" and m["queries"] == 4 and m["map"]["value"] == 1 and m["p1"]["lo"] == 1
     and m["mr1"]["value"] == 1 and m["two_choice"]["value"] == 1
     and all(t["found"]["value"] == 1 for t in m["by_evalue"])'
tap_ok "and takes no other song for one" holds \
    'all(t["unrelated"]["value"] == 0 for t in m["by_evalue"] if t["evalue"] <= 0.01)'
tap_ok "eval --by copy on versions" measure "$work/groups.csv" copy
tap_ok "does not find them: a version is no copy" holds 'm["by_evalue"][0]["found"]["value"] < 1'
tap_ok "there is no third axis here" refused "align or copy" measure "$work/groups.csv" sound
tap_ok "catalogues are cut for alignment" refused "of --by align alone" \
    measure "$work/recordings.csv" copy --catalogue 16
tap_ok "of no more than half of the songs" refused "at most half of the" \
    measure "$work/groups.csv" align --catalogue 16
tap_ok "borrowed passages are no copies" refused "measure --by align" \
    measure "$work/recordings.csv" copy --segments "$corpus/segments.csv"

# ---------------------------------------------------------------- search
cut=$corpus/copies/copy00004.mp3
row=$(sed -n 6p "$corpus/copies.csv")
search() {
    "$refrain" search "$data" "$@" --json >"$work/match.json" 2>"$work/match.log" || {
        cat "$work/match.log"
        return 1
    }
}
tap_ok "a shifted copy of 5 s is searched for" search "$cut"
tap_ok "and found where it was cut, by one song only" python3 - "$work/match.json" \
    "$(echo "$row" | cut -d, -f6)" <<'PY'
import json, sys
copies = json.load(open(sys.argv[1]))["copies"]
assert len(copies) == 1 and copies[0]["evalue"] < 1e-6, copies
assert abs(copies[0]["other_from_ms"] / 1000 - float(sys.argv[2])) < 0.6, copies
PY
tap_ok "3 s are searched for as a copy, and it says why not as a song" search "$work/short.wav"
tap_ok "and found" holds 'm["copies"] and "needs 5 s" in m["not_aligned"] and m["hits"] == []'
tap_ok "a whole song is searched for" search "$song"
tap_ok "and is found as a copy of itself" holds 'm["copies"][0]["share"] > 0.95'
tap_ok "the answer says of which file, and by which law" holds \
    'm["file"]["sha256"] == "'"$(sha256sum <"$song" | cut -c1-64)"'"
     and m["made"]["law"].startswith("shipped")'
tap_ok "silence cannot be searched for" refused "is silent" "$refrain" search "$data" "$work/silent.wav"
tap_ok "nor what is no audio" refused "NOT_AUDIO" "$refrain" search "$data" "$work/text.mp3"
tap_ok "speech is searched for" search "$work/speech.wav"
tap_ok "and nothing found that is unlike chance" holds \
    'm["copies"] == [] and all(h["evalue"] > 0.01 for h in m["hits"])'
mv "$data/sequences.mdb" "$data/elsewhere"
tap_ok "a data set without sequences says how to add them" refused "match.sequences = on" \
    "$refrain" search "$data" "$song"
mv "$data/elsewhere" "$data/sequences.mdb"

# ---------------------------------------------------------------- training
train() { quietly "$refrain" train "$data" --groups "$work/groups.csv" --epochs 1 --batch 2 "$@"; }
tap_ok "train --groups learns from versions" train
tap_ok "the model says so" python3 - "$data/models/default/last.safetensors" <<'PY'
import json, struct, sys
data = open(sys.argv[1], "rb").read()
meta = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]
assert float.fromhex(meta["version_share"]) == 1, meta
PY
tap_ok "and does not go on with another share" sh -c \
    "'$refrain' init '$data' --set train.versions=0 >/dev/null 2>&1
     ! '$refrain' train '$data' --groups '$work/groups.csv' --epochs 2 --batch 2 --resume \
        >'$work/resume.log' 2>&1 && grep -q version_share '$work/resume.log'"

# ---------------------------------------------------------------- sounds like
tap_ok "two songs to the model" match "$song" "$cover" --model "$data" -o "$work/page.html"
embed() { # A B: what refrain embed says of the same clips, into $work/embed.json
    "$refrain" embed "$data" --audio "$@" --json --quiet \
        --start-ms "$(json_get sounds_like.from_ms <"$work/match.json")" >"$work/embed.json"
}
tap_ok "the same clips by refrain embed" embed "$song" "$cover"
tap_ok "have the same figures, which sentence and page show" python3 - "$work" <<'PY'
import json, sys
m, want = (json.load(open(f"{sys.argv[1]}/{name}.json")) for name in ("match", "embed"))
got, pair = m["sounds_like"], want["pairs"][0]
assert got["not_compared"] is None and got["cohort_pairs"] == want["cohort_pairs"] > 50, got
assert got["cosine"] == pair["cosine"] < 0.99999, (got, pair)
assert got["percentile"] == pair["percentile"] and got["from_ms"] > 0, (got, pair)
assert "To the model" in m["sentence"], m
assert "less alike to the model" in open(sys.argv[1] + "/page.html").read()
PY
tap_ok "a model by its name" match "$song" "$song" --model "$data/default/"
tap_ok "to which a song is most like itself" holds \
    'm["sounds_like"]["cosine"] > 0.9999 and m["sounds_like"]["percentile"] > 99
     and m["verdict"] == "same"'
tap_ok "what is too short for a clip" match "$song" "$work/second.wav" --model "$data"
tap_ok "is not compared, which is said" holds \
    'm["sounds_like"]["cosine"] is None and "second.wav" in m["sounds_like"]["not_compared"]'
tap_ok "a model that is missing" refused "has no model 'other': train it with" \
    "$refrain" match "$song" "$cover" --model "$data/other"
tap_ok "a data set that is missing" refused "is not a directory" \
    "$refrain" match "$song" "$cover" --model "$work/nowhere/other"

tap_ok "eval measures versions" quietly "$refrain" eval "$data" --groups "$work/groups.csv"
tap_done
