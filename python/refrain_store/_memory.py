"""Where batches lie: blocks that are used again once their arrays are gone.

A new array of 56 MB costs its pages each time, which was a tenth to a quarter of what decoding into
it costs. Here the memory of a batch that nobody refers to any more, by whatever view or tensor,
becomes the next batch of that size."""

from __future__ import annotations

import mmap
import os
from collections import deque

import numpy as np

SMALL_BYTES = 1 << 20  # below, malloc does the same
IDLE_BLOCKS = 4
IDLE_BYTES = 512 << 20
_HUGE_PAGE = 2 << 20

# Appending and popping are atomic, so that an array may be collected at any point of any thread.
_idle: deque[np.ndarray] = deque()


class _Lease:
    """Lends a block to one array, whose base it is."""

    __slots__ = ("__array_interface__", "_block", "_pid")

    def __init__(self, block: np.ndarray, nbytes: int):
        self._block, self._pid = block, os.getpid()
        self.__array_interface__ = {"version": 3, "shape": (nbytes,), "typestr": "|u1",
                                    "data": (block.ctypes.data, False)}

    def __del__(self) -> None:
        if self._pid == os.getpid():  # a child's pages are copies: not warm
            _idle.append(self._block)
            _trim()


def _trim() -> None:
    while len(_idle) > IDLE_BLOCKS or sum(block.nbytes for block in list(_idle)) > IDLE_BYTES:
        try:
            _idle.popleft()
        except IndexError:
            return


def _new_block(nbytes: int) -> np.ndarray:
    size = -(-nbytes // _HUGE_PAGE) * _HUGE_PAGE
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        try:
            block.madvise(mmap.MADV_HUGEPAGE)
        except OSError:  # a kernel without them
            pass
    return np.frombuffer(block, np.uint8)


def _take_block(nbytes: int) -> np.ndarray:
    for _ in range(len(_idle)):
        try:
            block = _idle.pop()
        except IndexError:  # another thread was faster
            break
        if nbytes <= block.nbytes <= nbytes + nbytes // 2 + _HUGE_PAGE:
            return block
        _idle.appendleft(block)
    return _new_block(nbytes)


def batch_array(shape: tuple[int, ...], dtype) -> np.ndarray:
    """An array with whatever was there before in it, as numpy.empty."""
    dtype = np.dtype(dtype)
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    if nbytes < SMALL_BYTES:
        return np.empty(shape, dtype)
    return np.asarray(_Lease(_take_block(nbytes), nbytes)).view(dtype).reshape(shape)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)
