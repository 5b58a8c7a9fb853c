"""Batches through shared memory: never wrong, whatever the training does with them."""

import os
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: its workers' shared memory "
                                            "is not tested")

from torch.utils.data import DataLoader, Dataset  # noqa: E402

from refrain_store import Store, StoreError, _shared  # noqa: E402
from refrain_store.torch import OrderSampler, StoreDataset  # noqa: E402

BATCH = 6


def loader(data, sampler, **how):
    return DataLoader(data, sampler=sampler, batch_size=None, **{"num_workers": 2, **how})


def free(arena):
    with arena._locked():
        arena._take_back()
    return _shared.SLOTS - np.count_nonzero(arena._parent) - np.count_nonzero(arena._worker)


def want_of(store, seed=1):
    return [store.read_batch(store.keys[i]) for i in OrderSampler(store, BATCH, seed)]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_values_and_return_of_slots(songs, start):
    store = Store(songs[0])
    data, want = StoreDataset(store), want_of(store)
    assert free(data._arena) == _shared.SLOTS
    kept = []
    for batch, right in zip(loader(data, OrderSampler(store, BATCH, 1),
                                   multiprocessing_context=start), want):
        assert type(batch) is torch.Tensor and np.array_equal(batch.numpy(), right)
        kept.append(batch)
    assert len(kept) == len(want)
    for batch, right in zip(kept, want):  # still theirs
        assert np.array_equal(batch.numpy(), right)
    assert free(data._arena) == _shared.SLOTS - len(want)
    del kept, batch
    assert free(data._arena) == _shared.SLOTS


def test_more_kept_than_slots(songs, monkeypatch):
    monkeypatch.setattr(_shared, "SLOTS", 3)
    store = Store(songs[0])
    data = StoreDataset(store)
    got = list(loader(data, OrderSampler(store, BATCH, 1)))
    for batch, right in zip(got, want_of(store), strict=True):
        assert np.array_equal(batch.numpy(), right)


def test_larger_batches_than_slots(songs):
    store = Store(songs[0])
    data = StoreDataset(store)
    small = next(iter(loader(data, [[0, 1]])))
    large = next(iter(loader(data, [list(range(40))])))  # while the small one is held
    assert np.array_equal(large.numpy(), store[:40]) and np.array_equal(small.numpy(), store[:2])
    del small, large
    again = next(iter(loader(data, [list(range(40))])))
    assert free(data._arena) == _shared.SLOTS - 1
    assert np.array_equal(again.numpy(), store[:40])


def test_passes_that_are_broken_off(songs):
    """What was on its way to nobody is free again when its worker is gone."""
    store = Store(songs[0])
    data = StoreDataset(store)
    for _ in range(2 * _shared.SLOTS // 4):
        batches = iter(loader(data, OrderSampler(store, BATCH, 1)))
        next(batches)
        del batches
    assert free(data._arena) == _shared.SLOTS


class Cached(Dataset):
    """Somebody's dataset around ours: keeps tensors in the worker and sends them again."""

    def __init__(self, inner):
        self.inner, self.cache = inner, {}

    def __getitem__(self, indices):
        key = tuple(indices)
        if key not in self.cache:
            self.cache[key] = self.inner[indices]
        return self.cache[key]


class Transformed(Cached):
    def __getitem__(self, indices):
        batch = self.inner[indices]
        return {"x": batch / 40 + 1, "y": torch.arange(len(indices)), "raw": batch}


def test_cached_in_the_worker(songs):
    store = Store(songs[0])
    batches = [[0, 1], [2, 3], [0, 1], [4, 5], [0, 1], [6, 7], [2, 3]]
    got = list(loader(Cached(StoreDataset(store)), batches, num_workers=1))
    for batch, indices in zip(got, batches, strict=True):
        assert np.array_equal(batch.numpy(), store.read_batch(store.keys[indices]))


def test_computed_from(songs):
    store = Store(songs[0])
    for batch in loader(Transformed(StoreDataset(store)), [[0, 1], [2, 3]]):
        assert type(batch["x"]) is torch.Tensor and type(batch["raw"]) is torch.Tensor
        assert torch.equal(batch["x"], batch["raw"] / 40 + 1)


def test_dead_worker(songs):
    arena = StoreDataset(Store(songs[0]))._arena
    pid = os.fork()
    if pid == 0:
        slot, _ = arena.claim(100)
        arena.claim(100)
        arena.send(slot)
        os._exit(0)
    os.waitpid(pid, 0)
    assert np.count_nonzero(arena._worker) == 2 and np.count_nonzero(arena._parent) == 1
    sent = int(arena._claim[0])
    assert free(arena) == _shared.SLOTS
    with pytest.raises(StoreError, match="has died"):
        arena.receive(0, sent)


def test_pickled_elsewhere(songs):
    """A dataset in a file or a message is one without shared memory, not a broken one."""
    data = pickle.loads(pickle.dumps(StoreDataset(Store(songs[0]))))
    assert data._arena is None
    assert len(list(loader(data, [[0, 1], [2, 3]]))) == 2


def test_without_shared_memory(songs):
    store = Store(songs[0])
    data = StoreDataset(store, dtype=np.uint8, shared=False)
    batch = next(iter(loader(data, [[3, 4]])))
    assert np.array_equal(batch.numpy(), store.read_batch(store.keys[[3, 4]], dtype=np.uint8))
