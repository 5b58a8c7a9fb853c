import gc
import importlib
import importlib.metadata
import importlib.util
import inspect
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from conftest import FRAMES, MELS, VIEWS, make_store
import refrain_store
from refrain_store import Order, Store, StoreError, clip_of, key_of, row_of, view_of

N = 20 * VIEWS


# ---------------------------------------------------------------- what there is

def test_keys_and_stat(songs):
    with Store(songs[0]) as store:
        assert len(store) == N
        assert store.shape == (FRAMES, MELS)
        assert store.keys.dtype == np.uint64
        assert store.keys.tolist() == [key_of(row, 0, view) for row in range(5, 25)
                                       for view in range(VIEWS)]
        assert not store.keys.flags.writeable
        stat = store.stat()
        assert (stat.n_keys, stat.n_tracks, stat.stored_as) == (N, 20, "u8")
        assert stat.scale == pytest.approx(80 / 255)
        assert stat.offset == -80
        assert 0.1 < stat.max_err_db < 0.158
        assert "rate_hz=22050\n" in stat.recipe
        assert key_of(5) in store and key_of(4) not in store and key_of(25) not in store


def test_key_parts():
    key = key_of(70000, 3, 2)
    assert (row_of(key), clip_of(key), view_of(key)) == (70000, 3, 2)
    keys = np.array([key, key_of(1)], np.uint64)
    assert row_of(keys).tolist() == [70000, 1]
    assert clip_of(keys).tolist() == [3, 0]
    assert view_of(keys).tolist() == [2, 0]
    for wrong in ((-1, 0, 0), (1 << 48, 0, 0), (0, 256, 0), (0, 0, 256)):
        with pytest.raises(ValueError):
            key_of(*wrong)


def test_track_and_record(songs):
    store = Store(songs[0])
    assert store.track(7) == "TR00000007"
    record = store.record(key_of(7, 0, 2))
    assert (record.track, record.row, record.view) == ("TR00000007", 7, 2)
    assert record.augment == "gain_db=2"
    assert record.source_id == (7 * VIEWS + 2) * 31
    assert record.ref_db == -3.5
    with pytest.raises(KeyError, match="no track of row 99"):
        store.track(99)
    with pytest.raises(KeyError, match="no record of row 99, clip 0, view 1"):
        store.record(key_of(99, 0, 1))


# ---------------------------------------------------------------- reading

def test_items(songs):
    path, original = songs
    store = Store(path)
    for i in (0, 1, N - 1, -1, -N):
        assert store[i].shape == (FRAMES, MELS) and store[i].dtype == np.float32
        assert np.abs(store[i] - original[i]).max() <= store.stat().max_err_db
    assert np.array_equal(store[3:9:2], store.read_batch(store.keys[[3, 5, 7]]))
    assert sum(1 for _ in store) == N
    for wrong in (N, -N - 1):
        with pytest.raises(IndexError):
            store[wrong]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_read_batch(songs, threads):
    path, original = songs
    store = Store(path)
    where = np.random.default_rng(1).permutation(N)
    store.prefetch(store.keys[where])
    batch = store.read_batch(store.keys[where], threads=threads)
    assert batch.shape == (N, FRAMES, MELS)
    assert np.abs(batch - original[where]).max() <= store.stat().max_err_db
    levels = store.read_batch(store.keys[where], dtype=np.uint8, threads=threads)
    stat = store.stat()
    assert np.array_equal(levels * np.float32(stat.scale) + np.float32(stat.offset), batch)
    out = np.empty_like(batch)
    assert store.read_batch(store.keys[where].tolist(), out=out, threads=threads) is out
    assert np.array_equal(out, batch)
    assert store.read_batch([]).shape == (0, FRAMES, MELS)


def test_exact_store(tmp_path):
    original = make_store(str(tmp_path), 0, 4, "f32")
    store = Store(tmp_path)
    assert np.array_equal(store[:], original)
    assert store.stat().stored_as == "f32"
    with pytest.raises(StoreError, match="the store is f32") as failure:
        store.read_batch(store.keys, dtype=np.uint8)
    assert failure.value.kind == "perm"


def test_wrong_arguments(songs):
    store = Store(songs[0])
    keys = store.keys[:2]
    for out in (np.empty((2, FRAMES, MELS + 1), np.float32), np.empty((2, FRAMES, MELS)),
                np.empty((2, MELS, FRAMES), np.float32).transpose(0, 2, 1),
                np.empty((2, FRAMES, MELS), np.int8)):
        with pytest.raises(ValueError):
            store.read_batch(keys, out=out)
    with pytest.raises(ValueError):
        store.read_batch([-1])
    with pytest.raises(ValueError):
        store.read_batch([[1]])
    with pytest.raises(ValueError):
        store.read_batch(keys, threads=0)
    with pytest.raises(TypeError):
        store.read_batch([1.5])
    with pytest.raises(KeyError, match="no record of row 1,"):
        store.read_batch([key_of(1)])


def test_missing_and_closed(tmp_path, songs):
    with pytest.raises(StoreError, match="features.mdb"):
        Store(tmp_path / "nowhere")
    store = Store(songs[0])
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store[0]


# ---------------------------------------------------------------- order

@pytest.mark.parametrize("make", [lambda: Order.full(7), lambda: Order.block(7, 1)])
def test_orders_cover_and_resume(songs, make):
    store = Store(songs[0])
    order = make()
    assert store.epoch_length(order) == N
    first = store.next_indices(order, N)
    assert sorted(first) == list(range(N))
    assert first.tolist() != list(range(N))
    token = store.token(order)
    assert len(token) == 64
    second = store.next_indices(order, N)
    assert sorted(second) == list(range(N)) and second.tolist() != first.tolist()
    again = Store(songs[0]).restore(token)
    assert store.next_indices(again, N).tolist() == second.tolist()
    assert again == order and again.epoch == 1 and again.position == N
    assert store.next_indices(make(), N).tolist() == first.tolist()


def test_triplets(songs):
    store = Store(songs[0])
    order = Order.triplets(3)
    n = store.epoch_length(order)
    assert n == 20
    anchors, positives, negatives = store.keys[store.next_triplets(order, n)]
    assert sorted(row_of(anchors)) == list(range(5, 25))
    assert (view_of(anchors) == 0).all() and (view_of(negatives) == 0).all()
    assert (view_of(positives) > 0).all()
    assert (anchors >> np.uint64(8) == positives >> np.uint64(8)).all()
    assert (row_of(anchors) != row_of(negatives)).all()


def test_groups(songs):
    store = Store(songs[0])
    order = Order.groups(3, 2)
    groups = store.next_groups(order, 10)
    assert groups.shape == (10, 2)
    rows = row_of(store.keys[groups])
    assert (rows[:, 0] == rows[:, 1]).all() and len(set(rows[:, 0])) == 10
    with pytest.raises(StoreError, match="a batch of 21 tracks from 20"):
        store.next_groups(order, 21)


def test_failing_draws_leave_the_order(songs):
    store = Store(songs[0])
    order = Order.full(1)
    before = order.copy()
    for draw in (lambda: store.next_triplets(order, 2), lambda: store.next_groups(order, 2)):
        with pytest.raises(StoreError) as failure:
            draw()
        assert failure.value.kind == "usage"
        assert order == before
    with pytest.raises(ValueError):
        store.next_indices(order, -1)
    with pytest.raises(ValueError):
        Order.full(-1)


def test_token_refused(songs):
    store = Store(songs[0])
    token = store.token(Order.full(1))
    with pytest.raises(StoreError, match="damaged"):
        store.restore(token[:20] + bytes([token[20] ^ 1]) + token[21:])
    with pytest.raises(StoreError, match="64 bytes, this has 63"):
        store.restore(token[:63])
    make_store(songs[0], 100, 1)
    with pytest.raises(StoreError, match="the data changed"):
        Store(songs[0]).restore(token)
    assert store.restore(token) == Order.full(1)  # this one still sees what it saw


# ---------------------------------------------------------------- growing, processes, threads

def test_two_stores_while_one_grows(songs):
    path, original = songs
    first, second = Store(path), Store(path)
    second.close()
    make_store(path, 100, 30)
    assert len(first) == N and len(Store(path)) == N + 30 * VIEWS
    assert np.abs(first[:] - original).max() < 0.158


def _child_reads(store, want, result):
    try:
        good = np.array_equal(store[:], want)
        result.put("good" if good else "other values")
    except Exception as error:
        result.put(repr(error))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes(songs, method):
    store = Store(songs[0])
    want = store[:]
    context = multiprocessing.get_context(method)
    result = context.Queue()
    children = [context.Process(target=_child_reads, args=(store, want, result)) for _ in range(2)]
    for child in children:
        child.start()
    make_store(songs[0], 100, 5)  # they have the list of their parent all the same
    assert [result.get(timeout=60) for _ in children] == ["good", "good"]
    for child in children:
        child.join()
        assert child.exitcode == 0
    assert np.array_equal(store[:], want)


def test_pickle(songs):
    store = Store(songs[0])
    make_store(songs[0], 100, 5)
    other = pickle.loads(pickle.dumps(store))
    assert other.keys.tolist() == store.keys.tolist()
    assert np.array_equal(other[4], store[4])
    with pytest.raises(StoreError, match="grew from 60 to 75"):
        other.next_indices(Order.full(1), 1)


def test_threads(songs):
    store = Store(songs[0])
    want = store[:]
    failures = []

    def read(seed):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            where = rng.integers(0, N, 16)
            if not np.array_equal(store.read_batch(store.keys[where], threads=2), want[where]):
                failures.append(where)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_pin(songs):
    path, original = songs
    with Store(path) as store, Store(path) as other:
        before = store.read_batch(store.keys)
        with pytest.raises(StoreError, match="too little") as caught:
            store.pin(10)
        assert caught.value.kind == "usage"
        half = store.stat().payload_bytes // 2
        pinned = store.pin(half)
        assert 0 < pinned.records < len(store) and pinned.bytes <= half
        assert pinned.fraction == pinned.records / len(store)
        assert np.array_equal(store.read_batch(store.keys), before)
        assert np.array_equal(other.read_batch(other.keys, threads=2), before)
        with pytest.raises(StoreError, match="already"):
            other.pin(half)
        with pytest.raises(ValueError):
            store.pin(-1)
    assert np.abs(before - original).max() <= 0.157


def test_8_bit_stores_hold_the_same(tmp_path):
    stores = {}
    for dtype in ("u8", "raw", "archive"):
        (tmp_path / dtype).mkdir()
        make_store(str(tmp_path / dtype), 0, 6, dtype)
        stores[dtype] = Store(tmp_path / dtype)
        assert stores[dtype].stat().stored_as == dtype
    keys = stores["u8"].keys
    for dtype in (np.float32, np.uint8):
        for other in ("raw", "archive"):
            assert np.array_equal(stores[other].read_batch(keys, dtype=dtype),
                                  stores["u8"].read_batch(keys, dtype=dtype))


def test_nothing_stays_open(songs):
    def n_open():
        return sum(songs[0] in os.path.realpath(f"/proc/self/fd/{fd}")
                   for fd in os.listdir("/proc/self/fd"))
    store = Store(songs[0])
    assert n_open() > 0
    del store
    gc.collect()
    assert n_open() == 0


def test_gil_is_free_while_it_reads(songs):
    """A thread that waits for the GIL gets it from the library's call, since nothing else lets go of
    it here: the interpreter itself would switch after a thousand seconds."""
    store, ran = Store(songs[0]), []
    keys, go = store.keys[:], threading.Lock()
    go.acquire()

    def wait():
        with go:
            ran.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        go.release()
        for _ in range(2000):
            if ran:
                break
            store.read_batch(keys)
        was_free = bool(ran)
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert was_free


# ---------------------------------------------------------------- the library itself

def test_no_compiler_is_needed():
    """What pip installed is Python alone, and says to type checkers that it has types."""
    package = importlib.metadata.distribution("refrain-store")
    assert "Root-Is-Purelib: true" in package.read_text("WHEEL")
    assert any(path.name == "py.typed" for path in package.files)


def functions_of(thing):
    """A function itself, or those that a class of the package defines."""
    found = [thing] if inspect.isfunction(thing) else vars(thing).values()
    for function in (getattr(f, "__func__", getattr(f, "fget", f)) for f in found):
        if inspect.isfunction(function) and "refrain_store" in function.__code__.co_filename:
            yield function


def test_typed_and_documented():
    modules = [refrain_store]
    if importlib.util.find_spec("torch"):
        modules.append(importlib.import_module("refrain_store.torch"))
    for thing in (getattr(module, name) for module in modules for name in module.__all__):
        assert thing.__doc__
        for function in functions_of(thing):
            signature, private = inspect.signature(function), function.__name__.startswith("_")
            assert private or function.__doc__, function
            assert private or signature.return_annotation is not signature.empty, function
            for name, parameter in signature.parameters.items():
                typed = parameter.annotation is not parameter.empty
                assert typed or name in ("self", "cls"), function


def test_library_not_found():
    code = "from refrain_store import Store; Store('x')"
    environment = {**os.environ, "REFRAIN_STORE_LIB": "/nowhere/librefrain_store.so"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True,
                         text=True)
    assert run.returncode == 1
    assert "set REFRAIN_STORE_LIB" in run.stderr and "/nowhere/" in run.stderr


def test_torch_is_not_imported():
    code = "import sys, refrain_store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
