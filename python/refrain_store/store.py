"""Store and Order: the library's functions as numpy users expect them."""

from __future__ import annotations

import ctypes
import operator
import os
from ctypes import byref, c_uint64, c_void_p, sizeof
from dataclasses import dataclass
from typing import Iterator, Sequence, Union

import numpy as np
from numpy.typing import DTypeLike

from . import _library, _memory
from ._library import COrder, CPinned, CRecord, CStat, StoreError

PathLike = Union[str, "os.PathLike[str]"]
KeysLike = Union[Sequence[int], np.ndarray]
KeyOrKeys = Union[int, np.ndarray]

_DTYPES = {np.dtype(np.float32): 0, np.dtype(np.uint8): 1}
_STORED_AS = {2: "u12", 3: "f32", 4: "raw", 5: "archive", 7: "u8"}
_FULL, _BLOCK, _TRIPLETS, _GROUPS = 1, 2, 3, 4


def key_of(row: int, clip: int = 0, view: int = 0) -> int:
    """The key of a record: row of the catalogue, clip of the track, view (0: not augmented)."""
    if not (0 <= row < 1 << 48 and 0 <= clip < 256 and 0 <= view < 256):
        raise ValueError(f"row {row}, clip {clip}, view {view}: at most 2^48 - 1, 255, 255")
    return row << 16 | clip << 8 | view


def row_of(key: KeyOrKeys) -> KeyOrKeys:
    """The row of a key, or of an array of keys."""
    return key >> 16 if isinstance(key, int) else np.asarray(key, np.uint64) >> np.uint64(16)


def clip_of(key: KeyOrKeys) -> KeyOrKeys:
    """The clip of a key, or of an array of keys."""
    return (key >> 8 & 255 if isinstance(key, int)
            else np.asarray(key, np.uint64) >> np.uint64(8) & np.uint64(255))


def view_of(key: KeyOrKeys) -> KeyOrKeys:
    """The view of a key, or of an array of keys."""
    return key & 255 if isinstance(key, int) else np.asarray(key, np.uint64) & np.uint64(255)


@dataclass(frozen=True)
class Stat:
    """What a store holds. `root` names the content: equal roots, equal records."""

    n_keys: int
    n_tracks: int
    n_frames: int
    n_mels: int
    stored_as: str
    scale: float
    offset: float
    root: int
    spec_hash: int
    file_bytes: int
    payload_bytes: int
    max_err_db: float
    rms_err_db: float
    recipe: str


@dataclass(frozen=True)
class Record:
    """Where a record is from, and how far its values are from those before they were stored."""

    track: str
    row: int
    clip: int
    view: int
    source_id: int
    start_ms: int
    ref_db: float
    max_err_db: float
    rms_err_db: float
    augment: str


@dataclass(frozen=True)
class Pinned:
    """What Store.pin keeps in memory; `fraction` of the records, and so of an epoch's reads."""

    records: int
    bytes: int
    fraction: float


class Order:
    """A place in a reproducible order: nothing but mode, size, seed, epoch and position."""

    def __init__(self, mode: int, size: int, seed: int, epoch: int = 0, position: int = 0):
        for name, value in (("seed", seed), ("epoch", epoch), ("position", position)):
            if not 0 <= value < 1 << 64:
                raise ValueError(f"{name} {value}: from 0 to 2^64 - 1")
        self._c = COrder(mode, size, seed, epoch, position)

    @classmethod
    def full(cls, seed: int) -> "Order":
        """A keyed permutation of all records."""
        return cls(_FULL, 0, seed)

    @classmethod
    def block(cls, seed: int, window_blocks: int = 64) -> "Order":
        """For disks that hate seeks: blocks of 64 neighbours, mixed in windows of this many."""
        return cls(_BLOCK, window_blocks, seed)

    @classmethod
    def triplets(cls, seed: int) -> "Order":
        """Each clip with a view as an anchor, once an epoch."""
        return cls(_TRIPLETS, 0, seed)

    @classmethod
    def groups(cls, seed: int, records: int) -> "Order":
        """Each track once an epoch, `records` neighbours of it."""
        return cls(_GROUPS, records, seed)

    @property
    def mode(self) -> int:
        """Which of the four kinds of order it is, as a number of the library's."""
        return self._c.mode

    @property
    def size(self) -> int:
        """Blocks of a window, or records of a group; else 0."""
        return self._c.size

    @property
    def seed(self) -> int:
        """What everything that is drawn depends on, with epoch and position."""
        return self._c.seed

    @property
    def epoch(self) -> int:
        """How often everything was drawn before."""
        return self._c.epoch

    @property
    def position(self) -> int:
        """How many draws of this epoch there were."""
        return self._c.position

    def begin_epoch(self, epoch: int) -> None:
        """To the first place of an epoch."""
        self._c.epoch, self._c.position = epoch, 0

    def copy(self) -> "Order":
        """Another one at the same place, that goes on by itself."""
        return Order(self.mode, self.size, self.seed, self.epoch, self.position)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Order) and bytes(self._c) == bytes(other._c)

    def __repr__(self) -> str:
        name = {_FULL: "full", _BLOCK: "block", _TRIPLETS: "triplets", _GROUPS: "groups"}
        return (f"Order({name.get(self.mode, self.mode)}, size={self.size}, seed={self.seed}, "
                f"epoch={self.epoch}, position={self.position})")


class Store:
    """The records of DIR/features.mdb as they were when it was opened.

    `len(store)` records, in key order: `store[i]` decodes the i-th to float32 dB, (frames, mels).
    May be used from any number of threads. After a fork and after pickling (workers of a
    DataLoader) it opens the file anew by itself and keeps its key list."""

    _opened: tuple[c_void_p, int] | None = None  # handle and the process it is of

    def __init__(self, path: PathLike):
        self.path = os.path.abspath(os.fspath(path))
        handle = self._open()
        n = c_uint64()
        address = _library.library().keys(handle, byref(n))
        mapped = np.ctypeslib.as_array((c_uint64 * n.value).from_address(address))
        self._keys = mapped.copy()
        self._keys.flags.writeable = False
        self._pinned = self.stat()

    def _open(self) -> c_void_p:
        handle = c_void_p()
        _library.library().call("open", os.fsencode(self.path), byref(handle))
        self._opened = handle, os.getpid()  # at once: other threads see both or none
        return handle

    def _live(self) -> c_void_p:
        """The handle, of this process. That of the parent is left as it is: LMDB's locks are the
        parent's."""
        if self._opened is None:
            raise StoreError(f"{self.path} is closed", "usage")
        handle, pid = self._opened
        return handle if pid == os.getpid() else self._open()

    def close(self) -> None:
        """Lets go of the file; nothing else may be reading. Closing twice is fine."""
        opened, self._opened = self._opened, None
        if opened is not None and opened[1] == os.getpid():
            _library.library().close(opened[0])

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        try:
            self.close()
        except Exception:  # the interpreter is going down
            pass

    def __getstate__(self) -> dict:
        return {"path": self.path, "keys": self._keys, "pinned": self._pinned}

    def __setstate__(self, state: dict) -> None:
        self.path, self._keys, self._pinned = state["path"], state["keys"], state["pinned"]
        self._keys.flags.writeable = False
        self._open()
        self._check_same()

    def _check_same(self) -> None:
        now = self.stat()
        if (now.spec_hash, now.n_frames, now.n_mels) != (
                self._pinned.spec_hash, self._pinned.n_frames, self._pinned.n_mels):
            raise StoreError(f"{self.path} holds other features now than when it was pickled",
                             "perm")

    # ------------------------------------------------------------ what there is

    @property
    def keys(self) -> np.ndarray:
        """All keys, ascending, uint64, read-only: row << 16 | clip << 8 | view."""
        return self._keys

    @property
    def shape(self) -> tuple[int, int]:
        """(frames, mels) of every record."""
        return self._pinned.n_frames, self._pinned.n_mels

    def __len__(self) -> int:
        return len(self._keys)

    def __contains__(self, key: int) -> bool:
        i = int(np.searchsorted(self._keys, np.uint64(key)))
        return i < len(self._keys) and int(self._keys[i]) == key

    def stat(self) -> Stat:
        """Figures: those of the key list are pinned, the file's are of now."""
        c = CStat()
        _library.library().call("stat", self._live(), byref(c), sizeof(c))
        return Stat(n_keys=c.n_keys, n_tracks=c.n_tracks, n_frames=c.n_frames, n_mels=c.n_mels,
                    stored_as=_STORED_AS.get(c.stored_as, str(c.stored_as)), scale=c.scale,
                    offset=c.offset, root=c.root, spec_hash=c.spec_hash, file_bytes=c.file_bytes,
                    payload_bytes=c.payload_bytes, max_err_db=c.max_err_db,
                    rms_err_db=c.rms_err_db, recipe=c.recipe.decode("utf-8", "replace"))

    def track(self, row: int) -> str:
        """The track id of a row; KeyError when there is none."""
        out = ctypes.create_string_buffer(_library.ID_BYTES)
        _library.library().call("track", self._live(), operator.index(row), out)
        return out.value.decode("utf-8", "replace")

    def record(self, key: int) -> Record:
        """All that is known of a record but its values; KeyError when there is none."""
        key = operator.index(key)
        c = CRecord()
        _library.library().call("record", self._live(), key, byref(c), sizeof(c))
        return Record(track=self.track(key >> 16), row=key >> 16, clip=key >> 8 & 255,
                      view=key & 255, source_id=c.source_id, start_ms=c.start_ms, ref_db=c.ref_db,
                      max_err_db=c.max_err_db, rms_err_db=c.rms_err_db,
                      augment=c.augment.decode("utf-8", "replace"))

    # ------------------------------------------------------------ reading

    def __getitem__(self, index: int | slice) -> np.ndarray:
        """The index-th record as float32 dB, (frames, mels); a slice gives a batch. For one known
        by its key: store.read_batch([key])[0]."""
        if isinstance(index, slice):
            return self.read_batch(self._keys[index])
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        return self.read_batch(self._keys[[index]])[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def read_batch(self, keys: KeysLike, out: np.ndarray | None = None,
                   dtype: DTypeLike = np.float32, threads: int = 1) -> np.ndarray:
        """Decodes the records of these keys, in this order, to (n, frames, mels).

        dtype float32 is dB; uint8 (of a store of 8 bits: not u12, f32) is levels, dB = level * scale + offset with
        stat()'s. `out` is used when given: C-contiguous, of that dtype and shape (its dtype
        counts then); else the array is new, in memory of an earlier one that nobody has any
        more. A missing key is a KeyError. The GIL is free while it reads."""
        keys = self._key_array(keys)
        if out is None:
            out = _memory.batch_array((len(keys), *self.shape), dtype)
        elif out.shape != (len(keys), *self.shape):
            raise ValueError(f"out has shape {out.shape}, needed is {(len(keys), *self.shape)}")
        if out.dtype not in _DTYPES:
            raise ValueError(f"dtype {out.dtype}: float32 or uint8")
        if not (out.flags.c_contiguous and out.flags.writeable and out.flags.aligned):
            raise ValueError("out must be C-contiguous, aligned and writable")
        if not 1 <= threads <= 64:
            raise ValueError(f"{threads} threads: from 1 to 64")
        _library.library().call("read_batch", self._live(), keys.ctypes.data, len(keys),
                                out.ctypes.data, out.nbytes, _DTYPES[out.dtype], 0, threads)
        return out

    def prefetch(self, keys: KeysLike) -> None:
        """Asks the kernel for these records' pages and returns at once; for batches to come."""
        keys = self._key_array(keys)
        _library.library().prefetch(self._live(), keys.ctypes.data, len(keys))

    def pin(self, nbytes: int) -> Pinned:
        """Keeps as many records as fit in memory, compressed, and never throws them out: of data
        twice as large as nbytes half of the reads then come from memory, in any order of reading,
        where a page cache of that size answers 15 %. Once a store and process; a process that is
        forked or unpickles the Store begins with nothing pinned (threads share what is). StoreError
        the second time, and when nbytes are too little."""
        nbytes = operator.index(nbytes)
        if not 0 <= nbytes < 1 << 63:
            raise ValueError(f"{nbytes} bytes to pin")
        c = CPinned()
        _library.library().call("pin", self._live(), nbytes, byref(c), sizeof(c))
        return Pinned(c.records, c.bytes, c.fraction)

    @staticmethod
    def _key_array(keys: KeysLike) -> np.ndarray:
        array = np.asarray(keys)
        if array.size and array.dtype.kind not in "ui":
            array = np.asarray([operator.index(key) for key in keys], np.uint64)
        if array.ndim != 1:
            raise ValueError(f"keys have shape {array.shape}, needed is one dimension")
        if array.dtype.kind == "i" and array.size and array.min() < 0:
            raise ValueError(f"key {array.min()} is below 0")
        return np.ascontiguousarray(array, np.uint64)

    # ------------------------------------------------------------ order

    def epoch_length(self, order: Order) -> int:
        """Records, triplets or tracks in an epoch of this order."""
        n = c_uint64()
        _library.library().call("epoch_length", self._pinned_handle(), byref(order._c), byref(n))
        return n.value

    def next_indices(self, order: Order, n: int) -> np.ndarray:
        """The next n indices (0 <= i < len(store)) of a full or block order, which moves on. The
        end of an epoch is followed by the next one."""
        return self._next("order_next", order, (n,), n)

    def next_triplets(self, order: Order, n: int) -> np.ndarray:
        """The next n triplets as indices, (3, n): anchors, positives (an augmented view of the
        same clip), negatives (of another track)."""
        return self._next("triplets_next", order, (3, n), n)

    def next_groups(self, order: Order, tracks: int) -> np.ndarray:
        """Neighbouring records of so many different tracks as indices, (tracks, order.size)."""
        return self._next("groups_next", order, (tracks, order.size), tracks)

    def _next(self, function: str, order: Order, shape: tuple[int, ...], n: int) -> np.ndarray:
        if n < 0:
            raise ValueError(f"{n} draws: at least 0")
        moved = order.copy()  # an order that fails stays where it was
        out = np.empty(shape, np.uint64)
        _library.library().call(function, self._pinned_handle(), byref(moved._c), out.ctypes.data,
                                n)
        order._c = moved._c
        return out.astype(np.int64)

    def token(self, order: Order) -> bytes:
        """The order's place as 64 bytes that are bound to this store's content."""
        out = ctypes.create_string_buffer(_library.TOKEN_BYTES)
        _library.library().call("token", self._pinned_handle(), byref(order._c), out)
        return out.raw

    def restore(self, token: bytes) -> Order:
        """The place of a token. StoreError when it is damaged or the data are others."""
        order = Order(_FULL, 0, 0)
        _library.library().call("restore", self._pinned_handle(), bytes(token), len(token),
                                byref(order._c))
        return order

    def _pinned_handle(self) -> c_void_p:
        """For what depends on the key list: refused where a reopened store sees another one."""
        handle = self._live()
        n = c_uint64()
        _library.library().keys(handle, byref(n))
        if n.value != len(self._keys):
            raise StoreError(f"{self.path} grew from {len(self._keys)} to {n.value} records since "
                             "this Store was made in another process: draw orders there", "perm")
        return handle
