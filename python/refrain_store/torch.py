"""PyTorch over a store: a Dataset that reads batches, samplers that can be stopped and resumed.

    store = Store("songs")
    sampler = TripletSampler(store, batch_size=64, seed=7)
    loader = DataLoader(StoreDataset(store), sampler=sampler, batch_size=None, num_workers=2)
    for batch in loader:                     # (3 * 64, frames, mels), dB
        anchor, positive, negative = batch.chunk(3)

With batch_size=None the samplers' batches reach the dataset whole and come back as one tensor, from
workers through shared memory without a copy (refrain_store/_shared.py). As batch_sampler=sampler they work too: DataLoader then calls __getitems__ (PyTorch 2; before
that __getitem__ for each) and stacks the items once more."""

from __future__ import annotations

import os
from multiprocessing.context import get_spawning_popen
from typing import Any, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch.utils.data import Dataset, Sampler, get_worker_info

from . import _shared
from ._library import StoreError
from .store import Order, Store

__all__ = ["GroupSampler", "OrderSampler", "StoreDataset", "TripletSampler"]


class StoreDataset(Dataset):
    """Item i is the store's i-th record, (frames, mels), as float32 dB or, with dtype uint8, as
    levels (a quarter of the bytes; dB = level * stat.scale + stat.offset).

    Whole batches that a DataLoader's workers read (batch_size=None and a sampler of lists) reach the
    training process in shared memory that is used again, without a copy; shared=False leaves that
    to PyTorch."""

    def __init__(self, store: Store, dtype: DTypeLike = np.float32, threads: int = 1,
                 shared: bool = True):
        self.store, self.dtype, self.threads = store, np.dtype(dtype), threads
        self._arena = _shared.Arena() if shared and hasattr(os, "memfd_create") else None

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if get_spawning_popen() is None:  # not to a worker: without its shared memory
            state["_arena"] = None
        return state

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, index: int | Sequence[int]) -> torch.Tensor:
        """One item, (frames, mels), or for a list of indices all of them, (n, frames, mels)."""
        if isinstance(index, (int, np.integer)):
            return self._read([index])[0]
        return self._read(index, self._arena if get_worker_info() else None)

    def _read(self, indices: Sequence[int], arena: _shared.Arena | None = None) -> torch.Tensor:
        keys = self.store.keys[np.asarray(indices, np.int64)]
        out = None
        if arena is not None and len(keys) > 0:
            out = _shared.new_batch(arena, (len(keys), *self.store.shape), self.dtype)
        return _shared.as_tensor(self.store.read_batch(keys, out=out, dtype=self.dtype,
                                                       threads=self.threads))

    def __getitems__(self, indices: Sequence[int]) -> list[torch.Tensor]:
        """The items of one batch, in one read, as default_collate wants them."""
        return list(self._read(indices).unbind(0))


class _PlacedSampler(Sampler):
    """A batch sampler whose whole state is an order's place.

    One pass over it is what is left of the epoch; the next pass is the next epoch. A DataLoader
    with workers asks ahead, so state_dict takes how many batches of this pass were used; without
    it, all that were handed out count."""

    def __init__(self, store: Store, order: Order, batch_size: int):
        if batch_size < 1:
            raise ValueError(f"batches of {batch_size}: at least 1")
        self.store, self.order, self.batch_size = store, order, batch_size
        self._start = order.copy()  # where the pass began
        if store.epoch_length(order) < batch_size:
            raise ValueError(f"an epoch has {store.epoch_length(order)}, a batch {batch_size}")

    def _draw(self) -> np.ndarray:
        raise NotImplementedError

    def _left(self) -> int:
        """Whole batches from the order's place to the end of its epoch."""
        return (self.store.epoch_length(self.order) - self.order.position) // self.batch_size

    def __len__(self) -> int:
        return self._left() or self.store.epoch_length(self.order) // self.batch_size

    def __iter__(self) -> Iterator[list[int]]:
        if self._left() == 0:
            self.order.begin_epoch(self.order.epoch + 1)
        self._start = self.order.copy()
        for _ in range(self._left()):
            yield self._draw().tolist()

    def state_dict(self, batches_used: int | None = None) -> dict[str, Any]:
        """{"token": 64 bytes}. batches_used: how many of this pass the training has seen."""
        place = self.order
        if batches_used is not None:
            if batches_used < 0:
                raise ValueError(f"{batches_used} batches used")
            place = self._start.copy()
            place._c.position += batches_used * self.batch_size
        return {"token": self.store.token(place)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there. StoreError when the state is of other data or another sampler."""
        order = self.store.restore(state["token"])
        if (order.mode, order.size, order.seed) != (self.order.mode, self.order.size,
                                                    self.order.seed):
            raise StoreError(f"the state is of {order}, this sampler draws {self.order}", "perm")
        self.order, self._start = order, order.copy()


class OrderSampler(_PlacedSampler):
    """Batches of indices in a full or, with window_blocks, a block order."""

    def __init__(self, store: Store, batch_size: int, seed: int, window_blocks: int = 0):
        order = Order.block(seed, window_blocks) if window_blocks else Order.full(seed)
        super().__init__(store, order, batch_size)

    def _draw(self) -> np.ndarray:
        return self.store.next_indices(self.order, self.batch_size)


class TripletSampler(_PlacedSampler):
    """Batches of 3 * batch_size indices: anchors, then their positives, then negatives."""

    def __init__(self, store: Store, batch_size: int, seed: int):
        super().__init__(store, Order.triplets(seed), batch_size)

    def _draw(self) -> np.ndarray:
        return self.store.next_triplets(self.order, self.batch_size).ravel()


class GroupSampler(_PlacedSampler):
    """Batches of tracks * records indices, the records of a track side by side: P x K batches for
    mining inside the batch. labels(batch) names the tracks."""

    def __init__(self, store: Store, tracks: int, records: int, seed: int):
        super().__init__(store, Order.groups(seed, records), tracks)

    def _draw(self) -> np.ndarray:
        return self.store.next_groups(self.order, self.batch_size).ravel()

    def labels(self) -> torch.Tensor:
        """Which of a batch's rows are of one track: 0 0 .. 1 1 ..."""
        return torch.arange(self.batch_size).repeat_interleave(self.order.size)
