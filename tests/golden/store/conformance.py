"""Exports a store in every format and reads each back with the format's own library.

    conformance.py BUILD_DIR

Mosaic Streaming's package needs torch and the SDKs of four clouds; its shards are read here by
what its documentation of MDS says instead, in twenty lines of numpy.
"""
import io
import json
import os
import subprocess
import sys
import tempfile

import kaldiio
import numpy as np
import safetensors
import safetensors.numpy
import webdataset

build = os.path.abspath(sys.argv[1])
FRAMES, MELS = 40, 24  # tests/unit/store/fixture.h
failures = 0


def row(name, well, what):
    global failures
    failures += not well
    print(f"{name:<22}{what:<58}{'' if well else 'FAIL'}")


def export(store, form, dtype, ending):
    path = os.path.join(store, f"{form}-{dtype}{ending}")
    subprocess.run([f"{build}/bin/refrain-store", "export", store, "--format", form, "--dtype", dtype,
                    "-o", path], check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(store, f"{form}-{dtype}.json")) as file:
        return path, json.load(file)


def in_db(values, about):
    if about["dtype"] == "f32":
        return values
    return values * np.float32(about["scale"]) + np.float32(about["offset"])


def check(name, about, original, keys, values):
    """The values are those of the store, which has measured how far they are from the originals."""
    want_keys = [c["row"] << 16 | c["clip"] << 8 | c["view"] for c in about["clips"]]
    error = np.abs(in_db(np.asarray(values), about) - original).max()
    bound = max(c["max_error_db"] for c in about["clips"]) + 1e-5
    well = list(keys) == want_keys and np.shape(values) == tuple(about["shape"]) and error <= bound
    row(name, well, f"{len(values)} clips, {about['dtype']}, off by {error:.4f} dB <= {bound:.4f}")


def read_npy(path, about):
    values = np.load(path, mmap_mode="r")
    assert values.dtype == {"u8": np.uint8, "f32": np.float32}[about["dtype"]]
    return [c["row"] << 16 | c["clip"] << 8 | c["view"] for c in about["clips"]], values


def read_safetensors(path, about):
    with safetensors.safe_open(path, "np") as file:
        metadata = file.metadata()
    assert metadata["root"] == about["root"] and float(metadata["scale"]) == about["scale"]
    tensors = safetensors.numpy.load_file(path)
    return tensors["keys"].tolist(), tensors["clips"]


def read_wds(path, about):
    samples = list(webdataset.WebDataset(path, shardshuffle=False).decode())
    for sample, clip in zip(samples, about["clips"]):
        assert sample["json"]["track"] == clip["track"]
        assert in_db(sample["npy"], about).shape == (FRAMES, MELS)
    with open(path, "rb") as tar, open(path + ".idx") as index:
        assert next(index).split() == ["v1.2", str(len(samples))]
        for line, sample in zip(index, samples, strict=True):
            members = np.array(line.split()).reshape(-1, 4)
            assert [m[0] for m in members] == ["json", "npy"]
            tar.seek(int(members[1][1]))
            direct = np.load(io.BytesIO(tar.read(int(members[1][2]))))
            assert np.array_equal(direct, sample["npy"])
    return [int(s["__key__"], 16) for s in samples], np.stack([s["npy"] for s in samples])


def read_kaldi(path, about):
    by_script = kaldiio.load_scp(path + ".scp")
    in_order = list(kaldiio.load_ark(path))
    for name, matrix in in_order:
        assert np.array_equal(by_script[name], matrix)
    assert sorted(by_script) == [name for name, _ in in_order]
    return [int(name, 16) for name, _ in in_order], np.stack([m for _, m in in_order])


def read_mds(path, about):
    keys, values = [], []
    with open(os.path.join(path, "index.json")) as file:
        index = json.load(file)
    assert index["version"] == 2
    clip_bytes = FRAMES * MELS * {"u8": 1, "f32": 4}[about["dtype"]]
    assert len(index["shards"]) == 1 + len(about["clips"]) * (clip_bytes + 22) // (64 << 20)
    for shard in index["shards"]:
        assert (shard["format"], shard["column_names"]) == ("mds", ["clip", "key", "track"])
        encoding = shard["column_encodings"][0].split(":")
        with open(os.path.join(path, shard["raw_data"]["basename"]), "rb") as file:
            data = file.read()
        assert len(data) == shard["raw_data"]["bytes"]
        n = np.frombuffer(data, np.uint32, 1)[0]
        assert n == shard["samples"]
        offsets = np.frombuffer(data, np.uint32, n + 1, 4)
        assert offsets[-1] == len(data)
        config = json.loads(data[4 + 4 * (n + 1):offsets[0]])
        assert config["column_encodings"] == shard["column_encodings"]
        for begin, end in zip(offsets, offsets[1:]):
            sample, size = data[begin + 4:end], shard["column_sizes"][0]
            n_track = np.frombuffer(data, np.uint32, 1, begin)[0]
            assert len(sample) == size + 8 + n_track
            values.append(np.frombuffer(sample[:size], encoding[1])
                          .reshape(tuple(map(int, encoding[2].split(",")))))
            keys.append(int(np.frombuffer(sample[size:size + 8], np.uint64)[0]))
            assert sample[size + 8:].decode() == about["clips"][len(keys) - 1]["track"]
    return keys, np.stack(values)


FORMATS = [("npy", ".npy", ("u8", "f32"), read_npy),
           ("safetensors", ".safetensors", ("u8", "f32"), read_safetensors),
           ("wds", ".tar", ("u8", "f32"), read_wds),
           ("kaldi", ".ark", ("f32",), read_kaldi),
           ("mds", "", ("u8", "f32"), read_mds)]


def check_all(n_rows, names):
    with tempfile.TemporaryDirectory(prefix="refrain-export-") as store:
        subprocess.run([f"{build}/tests/golden/store/make_store", store, "7", str(n_rows)],
                       check=True)
        original = np.fromfile(os.path.join(store, "original.f32"), np.float32)
        for form, ending, dtypes, read in FORMATS:
            for dtype in dtypes if form in names else ():
                path, about = export(store, form, dtype, ending)
                try:
                    check(form, about, original.reshape(-1, FRAMES, MELS), *read(path, about))
                except Exception as error:
                    row(form, False, repr(error))


check_all(50, [form for form, *_ in FORMATS])
check_all(6500, ["mds"])  # as float32 more than one shard of 64 MiB
sys.exit(failures > 0)
