"""Stores of made-up records, written by the C side's make_store."""

import os
import subprocess

import numpy as np
import pytest

FRAMES, MELS, VIEWS = 40, 24, 3  # tests/unit/store/fixture.h


def make_store(path, first, n, dtype="u8"):
    """Puts rows [first, first + n); returns their values before they were stored."""
    subprocess.run([os.environ["REFRAIN_MAKE_STORE"], path, str(first), str(n), dtype], check=True)
    return np.fromfile(os.path.join(path, "original.f32"), np.float32).reshape(-1, FRAMES, MELS)


@pytest.fixture
def songs(tmp_path):
    """A data set of rows 5 to 24 and, in key order, its original values."""
    return str(tmp_path), make_store(str(tmp_path), 5, 20)
