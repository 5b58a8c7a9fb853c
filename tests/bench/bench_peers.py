"""The measuring half of tests/bench/bench_peers.sh: bench_peers.py BUILD_DIR TMP CLIPS"""
import glob
import json
import os
import pickle
import resource
import subprocess
import sys
import time

import numpy as np

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # Mosaic imports it and needs none of it
FRAMES, MELS, BATCH = 431, 128, 64
SECONDS, ROUNDS = 1.5, 3
CLIP_BYTES = FRAMES * MELS * 4
NPY, H5_GZIP, H5_LZF, TAR, MDS, LMDB = "clips.npy", "gzip.h5", "lzf.h5", "clips.tar", "mds", "lmdb"


# ---------------------------------------------------------------- writing

def compose(tmp, n):
    """Clips of 10 s at n places of the songs, each relative to its own maximum as the store's are."""
    songs = [np.load(path) for path in sorted(glob.glob(f"{tmp}/mels/*.npy"))]
    out = np.lib.format.open_memmap(f"{tmp}/{NPY}", "w+", np.float32, (n, FRAMES, MELS))
    places = np.array_split(np.arange(n), len(songs))
    for mels, where in zip(songs, places):
        starts = np.linspace(0, mels.shape[1] - FRAMES, len(where)).astype(int)
        for i, start in zip(where, starts):
            clip = mels[:, start:start + FRAMES].T
            out[i] = np.maximum(clip - clip.max(), -80)
    out.flush()
    return out


def write_ours(build, tmp, dtype):
    subprocess.run([f"{build}/bin/refrain-store", "import", f"{tmp}/{dtype}", f"{tmp}/{NPY}", "--dtype",
                    dtype, "--quiet"], check=True, stdout=subprocess.DEVNULL)


def write_hdf5(clips, path, compression):
    import h5py
    with h5py.File(path, "w") as file:
        data = file.create_dataset("clips", clips.shape, np.float32, chunks=(1, FRAMES, MELS),
                                   compression=compression)
        for i in range(0, len(clips), 256):
            data[i:i + 256] = clips[i:i + 256]


def write_wds(clips, path):
    import webdataset
    with webdataset.TarWriter(path) as tar:
        for i, clip in enumerate(clips):
            tar.write({"__key__": f"{i:08d}", "npy": np.asarray(clip)})


def write_mds(clips, path):
    import streaming
    columns = {"clip": f"ndarray:float32:{FRAMES},{MELS}"}
    with streaming.MDSWriter(out=path, columns=columns) as out:
        for clip in clips:
            out.write({"clip": np.ascontiguousarray(clip)})


def write_lmdb(clips, path):
    import lmdb
    with lmdb.open(path, map_size=4 * clips.nbytes + (1 << 28)) as env:
        for i in range(0, len(clips), 256):
            with env.begin(write=True) as txn:
                for j, clip in enumerate(clips[i:i + 256]):
                    txn.put(b"%08d" % (i + j), pickle.dumps(np.array(clip), protocol=5))


# ---------------------------------------------------------------- reading

def reader_of(tmp, name):
    """(files, function of a batch's indices that gives (BATCH, FRAMES, MELS) float32)"""
    out = np.empty((BATCH, FRAMES, MELS), np.float32)
    if name.startswith("refrain"):
        from refrain_store import Store
        store = Store(f"{tmp}/{name.split()[1]}")
        return f"{tmp}/{name.split()[1]}/features.mdb/*", lambda where: store.read_batch(store.keys[where])
    if name == "np.memmap":
        clips = np.load(f"{tmp}/{NPY}", mmap_mode="r")

        def item(i):
            return clips[i]
        files = NPY
    elif name.startswith("HDF5"):
        import h5py
        files = H5_GZIP if "gzip" in name else H5_LZF
        data = h5py.File(f"{tmp}/{files}", "r")["clips"]

        def item(i):
            return data[i]
    elif name == "LMDB+pickle":
        import lmdb
        txn = lmdb.open(f"{tmp}/{LMDB}", readonly=True, lock=False, readahead=False).begin(buffers=True)
        files = f"{LMDB}/*"

        def item(i):
            return pickle.loads(txn.get(b"%08d" % i))
    elif name == "Mosaic MDS":
        import streaming
        data = streaming.LocalDataset(f"{tmp}/{MDS}")
        files = f"{MDS}/*"

        def item(i):
            return data[i]["clip"]
    else:
        import webdataset
        pipe = webdataset.WebDataset(f"{tmp}/{TAR}", shardshuffle=False).repeat().shuffle(256).decode()
        samples = iter(pipe)
        files = TAR

        def item(i):  # it has no random access: whatever its buffer of 256 gives next
            return next(samples)["npy"]

    def batch(where):
        for j, i in enumerate(where):
            out[j] = item(int(i))
        return out
    return f"{tmp}/{files}", batch


def anonymous_bytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))


def drop(pattern):
    for path in glob.glob(pattern):
        with open(path, "rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Limit:
    """What a process may cache of its files: by a cgroup of its own, of either version, where that is
    permitted; else by dropping their pages after each batch, which leaves less."""

    def __init__(self):
        self.path, self.file = None, None
        for root, file in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                           ("/sys/fs/cgroup", "memory.max")):
            path = f"{root}/refrain-bench-{os.getpid()}"
            try:
                os.mkdir(path)
            except OSError:
                continue
            if os.path.exists(f"{path}/{file}"):
                self.path, self.file = path, f"{path}/{file}"
                return
            os.rmdir(path)

    def __str__(self):
        return f"cgroup ({os.path.basename(self.file)})" if self.path else "posix_fadvise"

    def enter(self):
        if self.path:
            with open(f"{self.path}/cgroup.procs", "w") as procs:
                procs.write(str(os.getpid()))

    def set(self, nbytes):
        with open(self.file, "w") as limit:
            limit.write(str(nbytes))

    def remove(self):
        for _ in range(50 if self.path else 0):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.1)


def measure(tmp, name, n, cache_bytes, limit):
    """Batches for SECONDS in a child; clips/s. cache_bytes 0: all the memory there is."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            files, batch = reader_of(tmp, name)
            rng = np.random.default_rng(1)
            if cache_bytes:
                drop(files)
                limit.enter()
                batch(rng.integers(0, n, BATCH))
                if limit.path:
                    limit.set(anonymous_bytes() + cache_bytes + (24 << 20))
            begin, count, seconds = time.perf_counter(), -1, SECONDS / 3
            while True:  # the first third fills the caches and does not count
                batch(rng.integers(0, n, BATCH))
                count += BATCH if count >= 0 else 0
                if cache_bytes and not limit.path:
                    drop(files)
                now = time.perf_counter()
                if now - begin > seconds:
                    if count >= 0:
                        break
                    begin, count, seconds = now, 0, SECONDS
            os.write(write_fd, json.dumps(count / (now - begin)).encode())
            os._exit(0)
        except BaseException as error:
            os.write(write_fd, json.dumps(repr(error)).encode())
            os._exit(1)
    os.close(write_fd)
    with os.fdopen(read_fd) as answer:
        got = answer.read()
    os.waitpid(pid, 0)
    result = json.loads(got) if got else "killed"
    if isinstance(result, str):
        print(f"    {name}: {result}")
        return 0.0
    return result


NAMES = ["refrain u8", "refrain f32", "np.memmap", "LMDB+pickle", "HDF5 gzip",
         "HDF5 lzf", "Mosaic MDS", "WebDataset"]


def size_of(tmp, name):
    paths = {"refrain u8": "u8/features.mdb/*",
             "refrain f32": "f32/features.mdb/*", "np.memmap": NPY,
             "LMDB+pickle": f"{LMDB}/*", "HDF5 gzip": H5_GZIP, "HDF5 lzf": H5_LZF,
             "Mosaic MDS": f"{MDS}/*", "WebDataset": TAR}
    return sum(os.stat(path).st_blocks * 512 for path in glob.glob(f"{tmp}/{paths[name]}"))


def write_all(build, tmp, n):
    """In a child: no page of these files may stay mapped here, or the limit would not reach it."""
    pid = os.fork()
    if pid:
        if os.waitpid(pid, 0)[1] != 0:
            sys.exit("bench_peers: writing failed")
        return
    try:
        write_formats(build, tmp, compose(tmp, n))
        os._exit(0)
    except BaseException as error:
        print(f"    {error!r}", file=sys.stderr)
        os._exit(1)


def write_formats(build, tmp, clips):
    for dtype in ("u8", "f32"):
        write_ours(build, tmp, dtype)
    write_hdf5(clips, f"{tmp}/{H5_GZIP}", "gzip")
    write_hdf5(clips, f"{tmp}/{H5_LZF}", "lzf")
    write_wds(clips, f"{tmp}/{TAR}")
    write_mds(clips, f"{tmp}/{MDS}")
    write_lmdb(clips, f"{tmp}/{LMDB}")


def compare(build, tmp, n):
    write_all(build, tmp, n)
    limit = Limit()
    cache_bytes = n * CLIP_BYTES // 4
    warm, cold = {}, {}
    for _ in range(ROUNDS):
        for name in NAMES:
            warm[name] = max(warm.get(name, 0), measure(tmp, name, n, 0, limit))
            cold[name] = max(cold.get(name, 0), measure(tmp, name, n, cache_bytes, limit))
    limit.remove()
    print(f"{n} clips of {FRAMES} x {MELS}, {n * CLIP_BYTES / 1e6:.0f} MB as float32; random batches of {BATCH} to")
    print(f"float32 in one thread, best of {ROUNDS}; limited: page cache for a quarter of the float32 bytes, by")
    print(f"{limit}. WebDataset reads in order through a buffer of 256.")
    print("Goal: more than 1 times each of the others, np.memmap where it is limited.")
    print(f"{'':14}{'KB/clip':>9}{'warm/s':>9}{'limited/s':>11}{'refrain u8 is':>16}{'limited':>12}")
    ours = "refrain u8"
    for name in NAMES:
        ratios = [rate[ours] / rate[name] if rate[name] else float("nan") for rate in (warm, cold)]
        print(f"{name:14}{size_of(tmp, name) / n / 1e3:9.1f}{warm[name]:9.0f}{cold[name]:11.0f}"
              f"{ratios[0]:11.2f} times{ratios[1]:7.2f} times")


# ---------------------------------------------------------------- Python against C

def python_rate(store, batch, seconds, out):
    """Clips a second of processor time, which neighbours on the machine do not change much."""
    rng, n = np.random.default_rng(1), 0
    begin = time.process_time()
    while time.process_time() - begin < seconds:
        store.read_batch(store.keys[rng.integers(0, len(store), batch)], out=out)
        n += batch
    return n / (time.process_time() - begin)


def against_c(build, tmp):
    from refrain_store import Store, _memory
    store, batch = Store(f"{tmp}/u8"), 256
    out = _memory.batch_array((batch, *store.shape), np.float32)
    rates = {"C": 0.0, "new arrays": 0.0, "out=": 0.0}
    python_rate(store, batch, 0.5, None)
    for _ in range(4):
        c = subprocess.run([f"{build}/tests/bench/store/bench_abi", f"{tmp}/u8", str(batch), "1"],
                           check=True, capture_output=True, text=True)
        rates["C"] = max(rates["C"], float(c.stdout))
        rates["new arrays"] = max(rates["new arrays"], python_rate(store, batch, 1, None))
        rates["out="] = max(rates["out="], python_rate(store, batch, 1, out))
    print(f"\nbatches of {batch}, one thread: C {rates['C']:.0f} clips a second of processor time; Python "
          f"with a new array each {rates['new arrays'] / rates['C']:.2f} of it, with out= {rates['out='] / rates['C']:.2f} "
          "(goal 0.80)")


# ---------------------------------------------------------------- DataLoader

def waits(dataset, sampler, step_s, workers=2, passes=400):
    from torch.utils.data import DataLoader
    loader = DataLoader(dataset, sampler=sampler, batch_size=None, num_workers=workers)
    found, batches, batch = [], iter(loader), None
    for i in range(passes):
        begin = time.perf_counter()
        batch = next(batches)
        found.append(time.perf_counter() - begin)
        time.sleep(step_s)  # the accelerator's step: it needs no core
    del batch
    return np.array(found[20:]) * 1e3


class Nothing:
    """What a DataLoader costs by itself."""

    def __getitem__(self, indices):
        import torch
        return torch.zeros(1)

    def __len__(self):
        return 1


class Endless:
    def __init__(self, sampler):
        self.sampler = sampler

    def __iter__(self):
        while True:
            yield from self.sampler

    def __len__(self):
        return 1 << 20


def starvation(tmp):
    try:
        import torch
    except ImportError:
        print("\nPyTorch is not installed: its DataLoader is not measured")
        return
    from refrain_store import Store
    from refrain_store.torch import OrderSampler, StoreDataset
    torch.set_num_threads(1)
    store = Store(f"{tmp}/u8")
    cases = [("a dataset of nothing", Nothing()),
             ("float32, PyTorch's hand-over", StoreDataset(store, shared=False)),
             ("float32", StoreDataset(store)),
             ("uint8 levels", StoreDataset(store, dtype=np.uint8))]
    print(f"\nPyTorch {torch.__version__}, DataLoader with 2 workers, batches of {BATCH}, a step of 10 ms: "
          "how long next() took, ms")
    print(f"{'':30}{'p50':>8}{'p90':>8}{'p99':>8}{'max':>8}{'over 10 ms':>12}")
    for name, dataset in cases:
        ms = min((waits(dataset, Endless(OrderSampler(store, BATCH, 1)), 0.010) for _ in range(2)),
                 key=lambda found: np.percentile(found, 90))
        print(f"{name:30}" + "".join(f"{np.percentile(ms, p):8.2f}" for p in (50, 90, 99, 100))
              + f"{np.count_nonzero(ms > 10):6d} of {len(ms)}")


def main():
    build, tmp, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    compare(build, tmp, n)
    against_c(build, tmp)
    starvation(tmp)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"peak memory of this script: {peak >> 10} MiB")


if __name__ == "__main__":
    main()
