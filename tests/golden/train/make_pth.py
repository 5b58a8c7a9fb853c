"""Small files as torch.save writes them, for tests/unit/train/test_pth.c and the fuzz corpus.

    python3 tests/golden/train/make_pth.py tests/fuzz/corpus/pth     (PyTorch 1.13, Debian 12)
"""
import collections
import pathlib
import sys
import zipfile

import torch

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
torch.manual_seed(0)

d = collections.OrderedDict()
d["a.weight"] = torch.arange(6, dtype=torch.float32).reshape(2, 3)
d["a.t"] = d["a.weight"].t()  # the same storage, other strides
d["b"] = torch.nn.Parameter(torch.tensor([1.5, -2.0]))
d["half"] = torch.tensor([0.5, 2.0]).half()
d["bf"] = torch.tensor([0.5, 2.0]).bfloat16()
d["n.num_batches_tracked"] = torch.tensor(7)
d["slice"] = torch.arange(10, dtype=torch.float64)[2:8:2]
d["empty"] = torch.zeros(0, 3)

torch.save(d, out / "zip")
torch.save(d, out / "legacy", _use_new_zipfile_serialization=False)
torch.save({"epoch": 3, "lr": 0.1, "state_dict": d, "l": [1, 2, (3, 4)]}, out / "nested")
linear = torch.nn.Linear(3, 2)
torch.save(linear.state_dict(), out / "linear")
torch.save(linear, out / "module")  # a whole module: refused
for name in "zip", "linear":
    archive = zipfile.ZipFile(out / name)
    (out / (name + ".pkl")).write_bytes(archive.read(name + "/data.pkl"))
