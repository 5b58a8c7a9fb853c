import pickle
import runpy
import pathlib

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: its Dataset and samplers "
                                            "are not tested")

from torch.utils.data import DataLoader  # noqa: E402

from conftest import FRAMES, MELS, VIEWS, make_store  # noqa: E402
from refrain_store import Store, StoreError, row_of, view_of  # noqa: E402
from refrain_store.torch import GroupSampler, OrderSampler, StoreDataset, TripletSampler  # noqa: E402


def test_dataset(songs):
    store = Store(songs[0])
    data = StoreDataset(store)
    assert len(data) == len(store)
    assert data[3].shape == (FRAMES, MELS) and data[3].dtype == torch.float32
    assert np.array_equal(data[[5, 2]].numpy(), store.read_batch(store.keys[[5, 2]]))
    items = data.__getitems__([5, 2])
    assert len(items) == 2 and torch.equal(items[1], data[2])
    assert StoreDataset(store, dtype=np.uint8)[0].dtype == torch.uint8


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("whole", [True, False])
def test_loader(songs, workers, whole):
    store = Store(songs[0])
    sampler = OrderSampler(store, 16, seed=5)
    how = dict(sampler=sampler, batch_size=None) if whole else dict(batch_sampler=sampler)
    loader = DataLoader(StoreDataset(store), num_workers=workers, **how)
    want = list(OrderSampler(store, 16, seed=5))
    for epoch in range(2):  # workers are forked anew for each
        got = list(loader)
        assert len(got) == len(want) == 3
        for batch, indices in zip(got, want):
            assert np.array_equal(batch.numpy(), store.read_batch(store.keys[indices]))
        sampler.order.begin_epoch(0)


def test_epochs_differ_and_restart(songs):
    store = Store(songs[0])
    a, b = OrderSampler(store, 7, 1), OrderSampler(store, 7, 1)
    first, second = list(a), list(a)
    assert first != second and len(first) == len(second) == len(a) == 60 // 7
    assert list(b) == first and list(b) == second
    assert list(OrderSampler(store, 7, 1, window_blocks=1)) != first


def test_triplet_sampler_resumes(songs):
    store = Store(songs[0])
    whole, stopped, resumed = (TripletSampler(store, 3, seed=2) for _ in range(3))
    want = list(whole)
    for batch in want:
        keys = store.keys[np.array(batch).reshape(3, 3)]
        assert (view_of(keys[1]) > 0).all() and (row_of(keys[0]) != row_of(keys[2])).all()
    passing = iter(stopped)
    got = [next(passing) for _ in range(2)]
    state = pickle.loads(pickle.dumps(stopped.state_dict()))
    resumed.load_state_dict(state)
    assert len(resumed) == len(want) - 2
    assert got + list(resumed) == want
    assert list(resumed) == list(whole)  # and the next epoch


def test_state_counts_what_was_used(songs):
    """A loader with workers has asked for more batches than the training has seen."""
    store = Store(songs[0])
    sampler = TripletSampler(store, 2, seed=2)
    want = list(TripletSampler(store, 2, seed=2))
    loader = DataLoader(StoreDataset(store), sampler=sampler, batch_size=None, num_workers=1)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    state = sampler.state_dict(batches_used=3)
    resumed = TripletSampler(store, 2, seed=2)
    resumed.load_state_dict(state)
    assert list(resumed) == want[3:]
    del batches


def test_state_of_others_refused(songs):
    store = Store(songs[0])
    state = TripletSampler(store, 2, seed=2).state_dict()
    with pytest.raises(StoreError, match="this sampler draws"):
        TripletSampler(store, 2, seed=3).load_state_dict(state)
    with pytest.raises(StoreError, match="this sampler draws"):
        OrderSampler(store, 2, seed=2).load_state_dict(state)
    make_store(songs[0], 200, 1)
    with pytest.raises(StoreError, match="the data changed"):
        TripletSampler(Store(songs[0]), 2, seed=2).load_state_dict(state)


def test_group_sampler(songs):
    store = Store(songs[0])
    sampler = GroupSampler(store, tracks=4, records=VIEWS, seed=1)
    labels = sampler.labels()
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    batches = list(sampler)
    assert len(batches) == 5
    for batch in batches:
        rows = row_of(store.keys[np.array(batch)])
        same = rows[:, None] == rows[None, :]
        assert np.array_equal(same, (labels[:, None] == labels[None, :]).numpy())


def test_too_large_a_batch(songs):
    with pytest.raises(ValueError, match="an epoch has 20, a batch 21"):
        TripletSampler(Store(songs[0]), 21, seed=1)
    with pytest.raises(ValueError):
        TripletSampler(Store(songs[0]), 0, seed=1)


def test_example_learns(songs, capsys):
    example = pathlib.Path(__file__).parent.parent / "example_train.py"
    losses = runpy.run_path(str(example))["train"](songs[0], epochs=8, batch_size=5)
    assert losses[-1] < losses[0]
