"""Batches from DataLoader workers to the training process without a copy.

A worker that returns a tensor of 14 MB pays for new shared memory (its pages are zeroed and mapped one
by one), copies the batch into it and hands a file descriptor over a socket; the training process maps
it anew. Here a dataset has one piece of shared memory, cut into slots that are used again: the worker
decodes straight into a slot, the queue carries its number, and the pages stay mapped on both sides.

A slot is free when nobody refers to its tensor on either side. Each side writes a word of its own in
the slot's entry, so that nothing needs to be atomic:

    worker   process id of the worker that holds a tensor over it, or 0
    parent   0; process id of the worker that sent it (it is on its way); HELD (the parent has it)

What a dead worker held or had on its way is free again. When no slot is free, or a batch is larger than
a slot, the tensor goes the usual way: slower, never wrong."""

from __future__ import annotations

import fcntl
import mmap
import os
import secrets
import threading
import weakref
from contextlib import contextmanager
from multiprocessing import context, reduction
from multiprocessing.reduction import ForkingPickler
from typing import Any, Iterator

import numpy as np
import torch

from ._library import StoreError

SLOTS = 64
ARENA_BYTES = 4 << 30  # of addresses; memory is what batches on their way need
_HEAD_BYTES = 4096
_PAGE_BYTES = 4096
_HELD = 1 << 63

_arenas: "weakref.WeakValueDictionary[str, Arena]" = weakref.WeakValueDictionary()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class Arena:
    """Slots in shared memory, made by the parent, inherited by fork or handed over by spawn."""

    def __init__(self, fd: int | None = None, token: str | None = None):
        if fd is None:
            fd = os.memfd_create("refrain-batches")
            os.ftruncate(fd, ARENA_BYTES)
        self._fd, self.token = fd, token or secrets.token_hex(8)
        self._map = mmap.mmap(fd, ARENA_BYTES)  # shared
        self._bytes = np.frombuffer(self._map, np.uint8)
        words = self._bytes[:_HEAD_BYTES].view(np.uint64)
        self._slot_bytes, self._claims = words[0:1], words[1:2]
        self._worker, self._parent, self._claim = words[8:8 + 3 * SLOTS].reshape(3, SLOTS)
        self._thread_lock = threading.Lock()
        _arenas[self.token] = self

    def __del__(self) -> None:
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)

    def __getstate__(self) -> dict[str, Any]:
        if context.get_spawning_popen() is None:
            raise TypeError("shared memory is handed to child processes only")
        return {"fd": reduction.DupFd(self._fd), "token": self.token}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["fd"].detach(), state["token"])  # type: ignore[misc]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._thread_lock:
            fcntl.lockf(self._fd, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN)

    def _take_back(self) -> None:
        """Frees what dead workers held and what they had sent that never arrived."""
        for holders in (self._worker, self._parent):
            for i in np.nonzero((holders != 0) & (holders != _HELD))[0]:
                if not _alive(int(holders[i])):
                    holders[i] = 0

    def claim(self, nbytes: int) -> tuple[int, int] | None:
        """A free slot for this worker and the number of the claim; None when there is none."""
        with self._locked():
            if self._slot_bytes[0] < nbytes or not self._find().size:
                self._take_back()
            if self._slot_bytes[0] < nbytes:
                if self._worker.any() or self._parent.any():
                    return None
                self._slot_bytes[0] = -(-nbytes // _PAGE_BYTES) * _PAGE_BYTES
            free = self._find()
            if not free.size:
                return None
            slot = int(free[0])  # the lowest: its pages are there already
            self._claims[0] += np.uint64(1)
            self._claim[slot] = self._claims[0]
            self._worker[slot] = os.getpid()
            return slot, int(self._claim[slot])

    def _find(self) -> np.ndarray:
        slot_bytes = int(self._slot_bytes[0])
        n = min(SLOTS, (ARENA_BYTES - _HEAD_BYTES) // slot_bytes) if slot_bytes else 0
        return np.nonzero((self._worker[:n] == 0) & (self._parent[:n] == 0))[0]

    def address(self, slot: int) -> int:
        return self._bytes.ctypes.data + _HEAD_BYTES + slot * int(self._slot_bytes[0])

    def send(self, slot: int) -> bool:
        """The worker hands it over; false when the parent still has an earlier one of it."""
        if self._parent[slot] != 0:
            return False
        self._parent[slot] = os.getpid()
        return True

    def receive(self, slot: int, claim: int) -> None:
        with self._locked():
            if int(self._claim[slot]) != claim or self._parent[slot] == 0:
                raise StoreError("the worker that read this batch has died", "temp")
            self._parent[slot] = _HELD

    def release(self, slot: int, by_parent: bool) -> None:
        (self._parent if by_parent else self._worker)[slot] = 0


class _Lease:
    """One side's hold on a slot: the base of the array that lies in it."""

    __slots__ = ("__array_interface__", "arena", "slot", "claim", "shape", "dtype", "_by_parent",
                 "_pid")

    def __init__(self, arena: Arena, slot: int, claim: int, shape: tuple[int, ...], dtype: str,
                 by_parent: bool):
        self.arena, self.slot, self.claim, self.shape, self.dtype = arena, slot, claim, shape, dtype
        self._by_parent, self._pid = by_parent, os.getpid()
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": dtype,
                                    "data": (arena.address(slot), False)}

    def __del__(self) -> None:
        if getattr(self, "_pid", 0) == os.getpid():  # not in a fork of the holder
            self.arena.release(self.slot, self._by_parent)


class SharedTensor(torch.Tensor):
    """A tensor in a worker that lies in a slot. What is computed from it is an ordinary one."""

    __torch_function__ = torch._C._disabled_torch_function_impl


def new_batch(arena: Arena, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None:
    """In a worker: an array in a free slot, or None."""
    claimed = arena.claim(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    return None if claimed is None else np.asarray(_Lease(arena, *claimed, shape, dtype.str, False))


def as_tensor(array: np.ndarray) -> torch.Tensor:
    tensor = torch.from_numpy(array)
    if isinstance(array.base, _Lease):
        tensor = tensor.as_subclass(SharedTensor)
        tensor.lease = array.base
    return tensor


def _receive(token: str, slot: int, claim: int, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    arena = _arenas.get(token)
    if arena is None:
        raise StoreError("the dataset that this batch was read for is gone", "usage")
    arena.receive(slot, claim)
    return torch.from_numpy(np.asarray(_Lease(arena, slot, claim, shape, dtype, True)))


def _reduce(tensor: SharedTensor):
    lease = getattr(tensor, "lease", None)
    if lease is None or tuple(tensor.shape) != lease.shape or not lease.arena.send(lease.slot):
        plain = tensor.as_subclass(torch.Tensor).clone()
        return torch.multiprocessing.reductions.reduce_tensor(plain)
    return _receive, (lease.arena.token, lease.slot, lease.claim, lease.shape, lease.dtype)


ForkingPickler.register(SharedTensor, _reduce)
