"""read_mds.py SHARDS OUT.npz: what Mosaic Streaming's own reader finds in a folder of shards."""
import sys

import numpy as np
import streaming

data = streaming.LocalDataset(sys.argv[1])
samples = [data[i] for i in range(len(data))]
np.savez(sys.argv[2], clips=np.stack([s["clip"] for s in samples]),
         keys=np.array([s["key"] for s in samples], np.uint64),
         tracks=np.array([s["track"] for s in samples]))
