"""The C side: finds librefrain_store.so, declares what store/abi.h declares, turns its sentences
into exceptions. ctypes lets go of the GIL in each call."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import threading
from ctypes import POINTER, Structure, c_char, c_char_p, c_double, c_float, c_int, c_size_t
from ctypes import c_uint8, c_uint32, c_uint64, c_void_p

ABI = 1
ERR_BYTES = 400
TOKEN_BYTES = 64
ID_BYTES = 65
AUGMENT_BYTES = 512
RECIPE_BYTES = 2048

TEMP, PERM, FATAL, USAGE = 1, 2, 3, 4  # enum refrain_store_status


class StoreError(Exception):
    """What the library could not do, as a sentence; `kind` is temp, perm, fatal or usage."""

    def __init__(self, message: str, kind: str = "fatal"):
        super().__init__(message)
        self.kind = kind

    def __reduce__(self):
        return StoreError, (str(self), self.kind)


class StoreKeyError(StoreError, KeyError):
    """There is no such record or track."""

    def __str__(self) -> str:  # KeyError would quote it
        return self.args[0]

    def __reduce__(self):
        return StoreKeyError, (self.args[0], self.kind)


class CStat(Structure):
    _fields_ = [("n_keys", c_uint64), ("root", c_uint64), ("spec_hash", c_uint64),
                ("n_frames", c_uint32), ("n_mels", c_uint32), ("stored_as", c_uint32),
                ("scale", c_float), ("offset", c_float), ("reserved", c_uint32),
                ("n_tracks", c_uint64), ("file_bytes", c_uint64), ("payload_bytes", c_uint64),
                ("max_err_db", c_double), ("rms_err_db", c_double),
                ("recipe", c_char * RECIPE_BYTES)]


class CRecord(Structure):
    _fields_ = [("source_id", c_uint64), ("start_ms", c_uint32), ("ref_db", c_float),
                ("max_err_db", c_float), ("rms_err_db", c_float),
                ("augment", c_char * AUGMENT_BYTES)]


class CPinned(Structure):
    _fields_ = [("records", c_uint64), ("bytes", c_uint64), ("fraction", c_double)]


class COrder(Structure):
    _fields_ = [("mode", c_uint32), ("size", c_uint32), ("seed", c_uint64), ("epoch", c_uint64),
                ("position", c_uint64)]


_u64s = POINTER(c_uint64)
_order = POINTER(COrder)
# Arguments after which err and err_bytes follow; the store handle is the first.
_CHECKED = {
    "open": [c_char_p, POINTER(c_void_p)],
    "stat": [c_void_p, POINTER(CStat), c_size_t],
    "track": [c_void_p, c_uint64, c_char_p],
    "record": [c_void_p, c_uint64, POINTER(CRecord), c_size_t],
    "read_batch": [c_void_p, c_void_p, c_size_t, c_void_p, c_size_t, c_int, c_int, c_uint32],
    "pin": [c_void_p, c_uint64, POINTER(CPinned), c_size_t],
    "epoch_length": [c_void_p, _order, _u64s],
    "order_next": [c_void_p, _order, c_void_p, c_size_t],
    "triplets_next": [c_void_p, _order, c_void_p, c_size_t],
    "groups_next": [c_void_p, _order, c_void_p, c_size_t],
    "token": [c_void_p, _order, c_char_p],
    "restore": [c_void_p, c_char_p, c_size_t, _order],
}


def _candidates() -> list[str]:
    chosen = os.environ.get("REFRAIN_STORE_LIB")
    if chosen:
        return [chosen]
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "librefrain_store.so")
    system = ctypes.util.find_library("refrain_store")
    return [beside] * os.path.exists(beside) + [system or "librefrain_store.so.1",
                                                "/usr/local/lib/librefrain_store.so.1"]


class _Library:
    def __init__(self, cdll: ctypes.CDLL):
        self._cdll = cdll
        for name, arguments in _CHECKED.items():
            function = getattr(cdll, "refrain_store_" + name)
            function.argtypes = [*arguments, c_char_p, c_size_t]
            function.restype = c_int
        cdll.refrain_store_close.argtypes = [c_void_p]
        cdll.refrain_store_close.restype = None
        cdll.refrain_store_keys.argtypes = [c_void_p, _u64s]
        cdll.refrain_store_keys.restype = c_void_p
        cdll.refrain_store_prefetch.argtypes = [c_void_p, c_void_p, c_size_t]
        cdll.refrain_store_prefetch.restype = None
        self.close = cdll.refrain_store_close
        self.keys = cdll.refrain_store_keys
        self.prefetch = cdll.refrain_store_prefetch

    def call(self, name: str, *arguments) -> None:
        """Calls refrain_store_<name>; raises with its sentence when it fails."""
        why = ctypes.create_string_buffer(ERR_BYTES)
        status = getattr(self._cdll, "refrain_store_" + name)(*arguments, why, ERR_BYTES)
        if status == 0:
            return
        sentence = why.value.decode("utf-8", "replace")
        if status == PERM and sentence.startswith("no "):
            raise StoreKeyError(sentence, "perm")
        raise StoreError(sentence, {TEMP: "temp", PERM: "perm", USAGE: "usage"}.get(status,
                                                                                  "fatal"))


_lock = threading.Lock()
_library: _Library | None = None


def library() -> _Library:
    """The loaded library; raises OSError that names where it was looked for."""
    global _library
    with _lock:
        if _library is None:
            _library = _load()
    return _library


def _load() -> _Library:
    tried = []
    for path in _candidates():
        try:
            cdll = ctypes.CDLL(path)
        except OSError as error:
            tried.append(str(error))
            continue
        cdll.refrain_store_abi.argtypes = []
        cdll.refrain_store_abi.restype = c_uint32
        found = cdll.refrain_store_abi()
        if found != ABI:
            raise OSError(f"{path} has interface {found}, this package needs {ABI}")
        return _Library(cdll)
    raise OSError("cannot load librefrain_store.so (set REFRAIN_STORE_LIB to its path, or run "
                  "make install): " + "; ".join(tried))
