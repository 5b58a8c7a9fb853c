#!/usr/bin/env python3
"""Trains the network that finds the lead voice and writes match/lead_weights.c.

    train_lead.py CORPUS:SEED:WORKS:VERSIONS ... -o match/lead_weights.c [--steps 4000]

CORPUS is a folder that tests/corpus/compose.py made with this SEED, WORKS and VERSIONS; beside each
preview lies NAME.f32, its spectrum: decode to 16-bit mono at 22,050 Hz (ffmpeg -ac 1 -af
aresample=22050:resampler=soxr -f s16le), then tests/golden/match/dump_spectrum. Which note the lead
plays in which frame is known from the score. Needs NumPy. What is shipped was trained on
CORPUS:train7:90:2 and CORPUS:train8:120:2 (--live 0.3), 4000 steps.
"""

import argparse
import csv
import hashlib
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "corpus"))
from version import arrange, play  # noqa: E402
from work import compose  # noqa: E402

HOP_S = 1536 / 22050
LOW, SEMITONES = 28, 92  # of the spectrum
FRAMES = (-4, -1, 0, 1, 4)
OFFSETS = np.arange(-19, 44)
CANDIDATES = np.arange(47, 97)
REACH, PAD_LOW, PAD_HIGH = 4, 30, 40
COLUMNS = CANDIDATES[:, None] - LOW + PAD_LOW + OFFSETS[None]
HIDDEN, TRACKS_A_STEP, FRAMES_A_TRACK = 24, 6, 16


def lead_notes(version, seed, n_frames):
    """The MIDI number that the lead plays in each frame, 0 for none."""
    score = play(seed, version, 30)
    beat_s = 60 / score.tempo_bpm
    notes = np.zeros(n_frames, np.int16)
    for note in score.parts[0].notes:
        first = int(np.ceil(note.start * beat_s / HOP_S - 0.2))
        last = int(np.floor((note.start + note.length) * beat_s / HOP_S + 0.2))
        notes[max(0, first):last + 1] = note.pitch
    return notes


def load(text):
    folder, seed, works, versions = text.split(":")
    with open(os.path.join(folder, "truth.csv"), newline="", encoding="utf-8") as table:
        ids = [row["track_id"] for row in csv.DictReader(table)]
    scores = [(v, seed) for w in range(int(works))
              for v in arrange(seed, compose(seed, w), int(versions))]
    tracks = []
    for track_id, (version, of) in zip(ids, scores):
        name = hashlib.sha1(track_id.encode()).hexdigest() + ".f32"
        levels = np.fromfile(os.path.join(folder, "previews", name), np.float32)
        levels = levels.reshape(-1, SEMITONES)
        padded = np.pad(levels, ((REACH, REACH), (PAD_LOW, PAD_HIGH)))
        tracks.append((padded, lead_notes(version, of, len(levels))))
    return tracks


def inputs(padded, frames):
    """(frames, candidates, len(FRAMES) * len(OFFSETS))"""
    return np.concatenate([padded[frames + REACH + k][:, COLUMNS] for k in FRAMES], 2)


def forward(net, x):
    hidden = np.maximum(x.reshape(-1, x.shape[2]) @ net["weights"] + net["bias"], 0)
    logits = (hidden @ net["output"]).reshape(len(x), -1) + net["prior"]
    logits = np.concatenate([logits, np.broadcast_to(net["silence"], (len(x), 1))], 1)
    p = np.exp(logits - logits.max(1, keepdims=True))
    return hidden, p / p.sum(1, keepdims=True)


def gradients(net, x, target):
    hidden, p = forward(net, x)
    loss = -np.log(p[np.arange(len(target)), target] + 1e-9).mean()
    p[np.arange(len(target)), target] -= 1
    p /= len(target)
    flat = p[:, :-1].reshape(-1)
    back = np.outer(flat, net["output"]) * (hidden > 0)
    return loss, {"silence": p[:, -1:].sum(0), "prior": p[:, :-1].sum(0),
                  "output": hidden.T @ flat, "bias": back.sum(0),
                  "weights": x.reshape(-1, x.shape[2]).T @ back + 1e-5 * net["weights"]}


def train(tracks, steps):
    inside, draw = len(FRAMES) * len(OFFSETS), np.random.default_rng(0)
    net = {"weights": draw.normal(size=(inside, HIDDEN)) / np.sqrt(inside),
           "bias": np.zeros(HIDDEN), "output": draw.normal(size=HIDDEN) * 0.3,
           "prior": np.zeros(len(CANDIDATES)), "silence": np.zeros(1)}
    net = {k: v.astype(np.float32) for k, v in net.items()}
    mean = {k: np.zeros_like(v) for k, v in net.items()}
    square = {k: np.zeros_like(v) for k, v in net.items()}
    draw = np.random.default_rng(1)
    for step in range(1, steps + 1):
        x, notes = [], []
        for i in draw.integers(0, len(tracks), TRACKS_A_STEP):
            padded, lead = tracks[i]
            frames = draw.integers(0, len(lead) - 8, FRAMES_A_TRACK)
            x.append(inputs(padded, frames))
            notes.append(lead[frames])
        notes = np.concatenate(notes)
        target = np.where(notes > 0, np.clip(notes - CANDIDATES[0], 0, len(CANDIDATES) - 1),
                          len(CANDIDATES))
        loss, gradient = gradients(net, np.concatenate(x), target)
        rate = 2e-3 * min(1, step / 50) * (0.5 + 0.5 * np.cos(np.pi * step / steps))
        for k in net:  # Adam
            mean[k] = 0.9 * mean[k] + 0.1 * gradient[k]
            square[k] = 0.99 * square[k] + 0.01 * gradient[k] ** 2
            change = mean[k] / (1 - 0.9**step) / (np.sqrt(square[k] / (1 - 0.99**step)) + 1e-6)
            net[k] = (net[k] - rate * change).astype(np.float32)
        if step % 200 == 0:
            print(f"step {step} of {steps}: loss {loss:.3f}", file=sys.stderr, flush=True)
    return net


def floats(name, size, values):
    texts = [f"{v:.7g}" for v in values]
    texts = [(t if "." in t or "e" in t else t + ".0") + "F" for t in texts]
    lines = ["    " + ", ".join(texts[i:i + 6]) + "," for i in range(0, len(texts), 6)]
    return [f"const float {name}[{size}] = {{", *lines, "};"]


def write(net, path):
    scale = np.abs(net["weights"]).max(0) / 127
    lines = ["/* Written by scripts/train_lead.py: do not edit. */", '#include "match/lead.h"', "",
             "/* clang-format off */",
             "const int8_t lead_weights[LEAD_FRAMES * LEAD_OFFSETS][LEAD_HIDDEN] = {"]
    for row in np.rint(net["weights"] / scale).astype(int):
        half = HIDDEN // 2
        lines += ["    {" + ", ".join(map(str, row[:half])) + ",",
                  "     " + ", ".join(map(str, row[half:])) + "},"]
    lines.append("};")
    lines += floats("lead_scale", "LEAD_HIDDEN", scale)
    lines += floats("lead_bias", "LEAD_HIDDEN", net["bias"])
    lines += floats("lead_output", "LEAD_HIDDEN", net["output"])
    lines += floats("lead_prior", "LEAD_CANDIDATES", net["prior"])
    lines.append(f"const float lead_silence = {net['silence'][0]:.7g}F;")
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", metavar="CORPUS:SEED:WORKS:VERSIONS")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("-o", "--out", required=True)
    args = parser.parse_args()
    tracks = [track for text in args.corpora for track in load(text)]
    write(train(tracks, args.steps), args.out)


if __name__ == "__main__":
    main()
