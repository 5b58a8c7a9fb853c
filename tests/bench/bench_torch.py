"""The measuring half of tests/bench/bench_torch.sh: bench_torch.py BUILD_DIR ROUNDS [CASE ...]

PyTorch trains the same network on random pictures that lie in memory, so that its loader costs nothing;
ours reads, decodes and standardises its clips in the same time. Cases take turns, ROUNDS times; each
figure is the median of a case's steps, the first of each turn left out.
"""
import json
import platform
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional

THREADS, BATCH, FRAMES, MELS, DIM = 2, 32, 431, 128, 128
EPOCH_STEPS = 10000 / BATCH


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                                            nn.BatchNorm2d(outputs))

    def forward(self, x):
        beside = x if self.downsample is None else self.downsample(x)
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))) + beside)


class ResNet18(nn.Module):
    """torchvision's, which is not needed for this, with one input channel and 128 outputs."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64),
                                  nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        sizes = [64, 64, 128, 256, 512]
        self.layers = nn.ModuleList(
            nn.Sequential(Block(a, b, 1 if a == b else 2), Block(b, b, 1))
            for a, b in zip(sizes, sizes[1:]))
        self.fc = nn.Linear(512, DIM)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return functional.normalize(self.fc(x.mean((2, 3))))


class Peer:
    """One way to write the step. best: channels_last, one forward pass, mixed precision if half."""

    def __init__(self, best, half, only_layer4=False):
        self.best, self.half = best, half
        self.model = ResNet18().train()
        if only_layer4:
            for part in (self.model.stem, *self.model.layers[:3]):
                part.requires_grad_(False)
        self.pictures = [torch.randn(BATCH, 1, FRAMES, MELS) for _ in range(3)]
        if best:
            self.model = self.model.to(memory_format=torch.channels_last)
            self.pictures = [torch.cat(self.pictures).to(memory_format=torch.channels_last)]
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=1e-4, weight_decay=1e-4)
        self.criterion = nn.TripletMarginLoss(margin=1.0)

    def step(self):
        self.optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            rows = [self.model(x) for x in self.pictures]
        if self.best:
            rows = rows[0].chunk(3)
        self.criterion(*(r.float() for r in rows)).backward()
        self.optimizer.step()

    def turn(self, n):
        found = []
        for _ in range(n + 1):
            begin = time.perf_counter()
            self.step()
            found.append(time.perf_counter() - begin)
        return found[1:]


class Ours:
    """32 triplets as train makes them by default, whose negatives are the other rows of the step: 64
    clips; or with drawn ones, 96 clips as PyTorch's."""

    def __init__(self, build, part, steps, negatives, tracks=48):
        self.command = [f"{build}/tests/bench/train/bench_resnet", part, "auto", str(steps),
                        str(tracks), negatives]

    def turn(self, _):
        out = subprocess.run(self.command, check=True, capture_output=True, text=True,
                             env={"OMP_WAIT_POLICY": "passive"}).stdout
        self.last = json.loads(out.splitlines()[-1])
        return [self.last["step_s"]]


def cases(build):
    return {
        "ours": lambda: Ours(build, "all", 4, "semi_hard"),
        "ours, drawn": lambda: Ours(build, "all", 4, "drawn"),
        "as written": lambda: Peer(best=False, half=False),
        "its best f32": lambda: Peer(best=True, half=False),
        "its best bf16": lambda: Peer(best=True, half=True),
        "ours, layer4": lambda: Ours(build, "layer4", 10, "semi_hard"),
        "ours, drawn, layer4": lambda: Ours(build, "layer4", 10, "drawn"),
        "as written, layer4": lambda: Peer(best=False, half=False, only_layer4=True),
    }


def processor():
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        lines = dict(line.split(":", 1) for line in file if ":" in line)
    lines = {key.strip(): value.strip() for key, value in lines.items()}
    flags = lines.get("flags", "").split()
    known = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags]
    return f"{lines.get('model name', platform.processor())} ({', '.join(known)})"


def ratio(seconds, ours, theirs, what, goal):
    if ours in seconds and theirs in seconds:
        value = seconds[theirs] / seconds[ours]
        print(f"  ours, {what:54}{value:6.2f} times  (goal {goal}, set for a processor with AMX)")


def main():
    build, rounds, wanted = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    torch.set_num_threads(THREADS)
    found = {}
    for _ in range(rounds):
        for name, make in cases(build).items():
            if wanted and name not in wanted:
                continue
            case = make()
            found.setdefault(name, []).extend(case.turn(1))
            if isinstance(case, Ours):
                print(f"  {name}: {json.dumps(case.last)}", file=sys.stderr)
    seconds = {name: statistics.median(values) for name, values in found.items()}
    print(f"resnet18, {BATCH} triplets of {FRAMES} x {MELS} a step, {THREADS} threads, PyTorch "
          f"{torch.__version__}, on {processor()}")
    for name, value in seconds.items():
        print(f"  {name:30}{value:8.3f} s a step{value * EPOCH_STEPS / 60:8.1f} min for 10,000 triplets")
    for ours, what in (("ours", "64 clips"), ("ours, drawn", "96 clips")):
        ratio(seconds, ours, "as written", f"{what}, all layers: PyTorch float32 as written", "4")
        ratio(seconds, ours, "its best f32", f"{what}, all layers: its best float32", "1")
        ratio(seconds, ours, "its best bf16", f"{what}, all layers: its best bf16", "1")
        ratio(seconds, f"{ours}, layer4", "as written, layer4",
              f"{what}, layer4 unfrozen: PyTorch float32 as written", "20")


if __name__ == "__main__":
    main()
