"""Random-access batches of compressed spectrograms, for numpy and PyTorch.

    from refrain_store import Store
    store = Store("songs")
    db = store.read_batch(store.keys[:256])    # (256, frames, mels) float32

PyTorch's side is in refrain_store.torch, which alone imports torch.
"""

from ._library import StoreError
from .store import Order, Pinned, Record, Stat, Store, clip_of, key_of, row_of, view_of

__all__ = ["Order", "Pinned", "Record", "Stat", "Store", "StoreError", "clip_of", "key_of", "row_of",
           "view_of"]
__version__ = "0.1.0"
