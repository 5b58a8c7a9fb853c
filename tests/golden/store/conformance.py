"""Exports a store in every format and reads each back with the format's own library; imports what
those libraries wrote, and what was exported.

    conformance.py BUILD_DIR

Mosaic Streaming's package needs torch: it runs in a virtual environment that sees an installed one
(scripts/torch_venv.sh), and what MDS is said to be is held against the bytes here too.
"""
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile

import kaldiio
import lmdb
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
    own_keys, own_values, own_tracks = read_mds_with_its_library(path)
    assert own_keys.tolist() == keys and np.array_equal(own_values, np.stack(values))
    assert own_tracks.tolist() == [clip["track"] for clip in about["clips"]]
    return own_keys.tolist(), own_values


def torch_python():
    """The interpreter that has Mosaic Streaming."""
    if not hasattr(torch_python, "path"):
        here = os.path.dirname(os.path.abspath(__file__))
        venv = subprocess.run([os.path.join(here, "../../../scripts/torch_venv.sh"), build,
                               os.path.join(here, "requirements-mds.txt")],
                              check=True, capture_output=True, text=True).stdout.strip()
        torch_python.path = os.path.join(venv, "bin/python")
    return torch_python.path


def read_mds_with_its_library(path):
    out = path + ".read.npz"
    subprocess.run([torch_python(), os.path.join(os.path.dirname(__file__), "read_mds.py"), path, out],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with np.load(out) as read:
        return read["keys"], read["clips"], read["tracks"]


FORMATS = [("npy", ".npy", ("u8", "f32"), read_npy),
           ("safetensors", ".safetensors", ("u8", "f32"), read_safetensors),
           ("wds", ".tar", ("u8", "f32"), read_wds),
           ("kaldi", ".ark", ("f32",), read_kaldi),
           ("mds", "", ("u8", "f32"), read_mds)]


# ---------------------------------------------------------------- without our library

def code_of_format_page():
    """The reader that docs/FORMAT.md shows."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../docs/FORMAT.md")) as page:
        text = page.read()
    begin = text.index("    import numpy as np, struct, zstandard")
    lines = text[begin:text.index("\n## ", begin)].splitlines()
    names = {}
    exec("\n".join(line[4:] for line in lines), names)
    return names["decode_u8"]


def check_plain_lmdb(n_rows):
    """The store itself, by py-lmdb, zstandard and the code in docs/FORMAT.md."""
    with tempfile.TemporaryDirectory(prefix="refrain-plain-") as store:
        subprocess.run([f"{build}/tests/golden/store/make_store", store, "7", str(n_rows)], check=True)
        path, about = export(store, "npy", "f32", ".npy")
        decode = code_of_format_page()
        with lmdb.open(f"{store}/features.mdb", readonly=True, max_dbs=4) as env:
            with env.begin(env.open_db(b"clip", integerkey=True, create=False)) as txn:
                read = {int.from_bytes(key, "little"): decode(bytes(value)) for key, value in txn.cursor()}
        keys = sorted(read)
        values = np.stack([read[key] for key in keys])
        exact = np.array_equal(values, np.load(path))
        want = [c["row"] << 16 | c["clip"] << 8 | c["view"] for c in about["clips"]]
        row("LMDB and zstd alone", exact and keys == want, f"{len(keys)} clips, bit for bit: {exact}")


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


# ---------------------------------------------------------------- imports

def refrain_store(*arguments):
    run = subprocess.run([f"{build}/bin/refrain-store", *arguments, "--quiet"], capture_output=True,
                         text=True)
    if run.returncode != 0:
        raise RuntimeError(run.stderr.strip())
    return run.stdout


def imported(work, files, *options):
    """(track id, values) of each clip after an import of these files, exact."""
    data = tempfile.mkdtemp(dir=work)
    refrain_store("import", data, *files, "--dtype", "f32", *options)
    clips = [json.loads(line) for line in refrain_store("ls", data, "--json").splitlines()]
    refrain_store("export", data, "-o", f"{data}/all.npy", "--dtype", "f32")
    with open(f"{data}/all.json") as file:
        names = [clip["track"] for clip in json.load(file)["clips"]]
    assert len(clips) >= 1
    return list(zip(names, np.load(f"{data}/all.npy")))


def check_import(name, what, got, want, tolerance=0.0):
    """want: (track id, values) in order."""
    well = [n for n, _ in got] == [n for n, _ in want]
    off = max(np.abs(a.astype(np.float64) - np.asarray(b, np.float64)).max()
              for (_, a), (_, b) in zip(got, want, strict=True)) if well else float("nan")
    row("import " + name, well and off <= tolerance, f"{len(got)} clips, {what}, off by {off:.2g}")


def import_numpy(work, clips):
    """numpy.save and numpy.savez, in the number types and orders of axes they come in."""
    for dtype in ("<f2", ">f4", "<f8", "<i2"):
        path = f"{work}/{dtype[1:]}.npy"
        np.save(path, clips[0].astype(dtype))
        check_import(".npy", dtype, imported(work, [path]), [(dtype[1:], np.load(path).astype("f4"))])
    np.save(f"{work}/turned.npy", clips[0].T)  # Fortran's order in the file
    check_import(".npy", "transposed", imported(work, [f"{work}/turned.npy"], "--mels-first"),
                 [("turned", clips[0])])
    np.save(f"{work}/stack.npy", clips)
    check_import(".npy", "three axes", imported(work, [f"{work}/stack.npy"]),
                 [(f"stack.{i}", clip) for i, clip in enumerate(clips)])
    named = {f"song {i}": clip for i, clip in enumerate(clips)}
    for save in (np.savez, np.savez_compressed):
        save(f"{work}/z.npz", **named)
        check_import(".npz", save.__name__, imported(work, [f"{work}/z.npz"]),
                     [(name.replace(" ", "_"), clip) for name, clip in named.items()])


def import_kaldi(work, clips):
    """kaldiio's matrices and its compressed ones, which its own reader gives the truth of."""
    named = {f"utt{i}": clip[:25 + i] for i, clip in enumerate(clips)}
    for what, how, double in ([("float32", None, False), ("float64", None, True)]
                              + [(f"compressed, method {m}", m, False) for m in range(1, 8)]):
        written = {k: v.astype(np.float64) / 3 if double else v for k, v in named.items()}
        kaldiio.save_ark(f"{work}/k.ark", written, scp=f"{work}/k.scp", compression_method=how)
        truth = [(name, m[:20]) for name, m in kaldiio.load_ark(f"{work}/k.ark")]
        # Kaldi's formulas in another order of float32 operations; method 4 is of whole numbers, which
        # Kaldi and we restore exactly and kaldiio does not
        tolerance = 1e-6 if double else 0 if how is None else 2.1e-3 if how == 4 else 2e-5
        for ending in ("ark", "scp"):
            got = imported(work, [f"{work}/k.{ending}"], "--frames", "20")
            check_import(f"Kaldi .{ending}", what, got, truth, tolerance)
            assert how != 4 or all(np.array_equal(m, np.rint(m)) for _, m in got)


def import_wds(work, clips):
    """webdataset's TarWriter, plain and compressed; Python's tarfile with long names."""
    for ending in ("tar", "tar.gz"):
        with webdataset.TarWriter(f"{work}/w.{ending}") as tar:
            for i, clip in enumerate(clips):
                tar.write({"__key__": f"train/{i:04d}", "cls": i, "left.npy": clip * 0, "mel.npy": clip,
                           "json": {"label": i}})
        samples = webdataset.WebDataset(f"{work}/w.{ending}", shardshuffle=False).decode()
        check_import("WebDataset", f".{ending}", imported(work, [f"{work}/w.{ending}"], "--member", "mel.npy"),
                     [(sample["__key__"], sample["mel.npy"]) for sample in samples])
    for what, form in (("GNU", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
        name = "a/" * 70 + "clip"
        data = io.BytesIO()
        np.save(data, clips[0])
        with tarfile.open(f"{work}/long.tar.gz", "w:gz", format=form) as tar:
            member = tarfile.TarInfo(name + ".npy")
            member.size = len(data.getvalue())
            tar.addfile(member, io.BytesIO(data.getvalue()))
        got = imported(work, [f"{work}/long.tar.gz"])
        check_import("tar", f"{what}, a name of {len(name)} bytes", [(name, got[0][1])],
                     [(name, clips[0])])
        assert got[0][0].startswith(name[:47]) and len(got[0][0]) == 64


def import_exports(work):
    """What was exported comes back as the store it was."""
    for dtype in ("u8", "u12", "f32"):
        source = tempfile.mkdtemp(dir=work)
        subprocess.run([f"{build}/tests/golden/store/make_store", source, "7", "20", dtype], check=True)
        root = json.loads(refrain_store("stat", source, "--json"))["root"]
        for form, ending in (("npy", "npy"), ("wds", "tar"), ("kaldi", "ark")):
            path = f"{source}/x.{ending}"
            refrain_store("export", source, "--format", form, "--dtype", "f32", "-o", path)
            target = tempfile.mkdtemp(dir=work)
            refrain_store("import", target, path)
            again = json.loads(refrain_store("stat", target, "--json"))["root"]
            row(f"import {form}", again == root, f"exported from {dtype}: root {again}, was {root}")


def check_imports():
    rng = np.random.default_rng(1)
    clips = (-80 * rng.random((5, FRAMES, MELS))).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="refrain-import-") as work:
        for check_format in (import_numpy, import_kaldi, import_wds):
            try:
                check_format(work, clips)
            except Exception as error:
                row(check_format.__name__, False, repr(error))
        import_exports(work)


check_all(50, [form for form, *_ in FORMATS])
check_all(6500, ["mds"])  # as float32 more than one shard of 64 MiB
check_plain_lmdb(50)
check_imports()
sys.exit(failures > 0)
