import gc
import os

import numpy as np
import pytest

from conftest import FRAMES, MELS
from refrain_store import Store, _memory

SHAPE = (4, 512, 256)  # float32: 2 MiB, a block of its own


@pytest.fixture(autouse=True)
def nothing_idle():
    gc.collect()
    _memory._idle.clear()
    yield
    _memory._idle.clear()


def test_used_again_once_nobody_has_it():
    first = _memory.batch_array(SHAPE, np.float32)
    first[:] = 1
    view, address = first[2, 10:20].T, first.ctypes.data
    del first
    second = _memory.batch_array(SHAPE, np.float32)
    second[:] = 2
    assert second.ctypes.data != address and (view == 1).all()  # a view is somebody
    del view
    third = _memory.batch_array(SHAPE, np.float32)
    assert third.ctypes.data == address


def test_aligned_and_whole():
    array = _memory.batch_array(SHAPE, np.float32)
    assert array.ctypes.data % 64 == 0 and array.flags.c_contiguous and array.flags.writeable
    assert array.shape == SHAPE and array.dtype == np.float32
    assert not isinstance(_memory.batch_array((2, 3), np.uint8).base, _memory._Lease)  # small


def test_idle_memory_is_bounded():
    held = [_memory.batch_array(SHAPE, np.float32) for _ in range(3 * _memory.IDLE_BLOCKS)]
    assert len({array.ctypes.data for array in held}) == len(held)
    held.clear()
    assert len(_memory._idle) == _memory.IDLE_BLOCKS
    big = _memory.batch_array((_memory.IDLE_BYTES + 1,), np.uint8)
    del big
    assert sum(block.nbytes for block in _memory._idle) <= _memory.IDLE_BYTES


def test_a_small_batch_does_not_take_a_large_block():
    large = _memory.batch_array((64, 512, 256), np.float32)
    address = large.ctypes.data
    del large
    assert _memory.batch_array(SHAPE, np.float32).ctypes.data != address


def test_child_leaves_the_parents_memory():
    kept = _memory.batch_array(SHAPE, np.float32)
    kept[:] = 1
    del kept  # idle in the parent
    pid = os.fork()
    if pid == 0:
        os._exit(len(_memory._idle))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(_memory._idle) == 1


def test_batches_do_not_overwrite_each_other(songs):
    store = Store(songs[0])
    keys = np.resize(store.keys, 400)  # 1.5 MB: above SMALL_BYTES
    kept = [store.read_batch(np.roll(keys, i)) for i in range(6)]
    want = store.read_batch(store.keys)
    assert kept[0].nbytes > _memory.SMALL_BYTES
    for i, batch in enumerate(kept):
        assert np.array_equal(batch, want[np.roll(np.arange(400) % len(want), i)])


def test_dlpack(songs):
    store = Store(songs[0])
    batch = store.read_batch(np.resize(store.keys, 400))
    other = np.from_dlpack(batch)
    assert other.ctypes.data == batch.ctypes.data and other.shape == (400, FRAMES, MELS)
    want = batch.copy()
    del batch
    store.read_batch(np.resize(store.keys[::-1], 400))  # would come to lie there
    assert np.array_equal(other, want)
