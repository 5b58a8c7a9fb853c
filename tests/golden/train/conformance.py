"""resnet18 against PyTorch itself: a checkpoint in torchvision's model, embeddings, gradients, ten
steps of Adam on the triplet loss, what bfloat16 does to the gradients here and there, and
torchvision's RGB weights in both .pth layouts.

    python3 tests/golden/train/conformance.py BUILD_DIR

Needs torch and torchvision (Debian: python3-torch python3-torchvision, 49 MB; 1.13 and 0.14 were
used). Prints a table and fails past its gates, which are some ten times what was measured: float32
kernels with other orders of summation.
"""
import copy
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

try:
    import torch
    import torchvision
except ImportError:
    if sys.executable != "/usr/bin/python3" and os.path.exists("/usr/bin/python3"):
        os.execv("/usr/bin/python3", ["python3", *sys.argv])  # Debian's packages
    sys.exit("train conformance needs torch: apt-get install python3-torch python3-torchvision")

GATE_EVAL = 1e-5  # of an embedding's components
GATE_LOSS = 1e-3  # over ten steps: differences grow with each
GATE_GRAD = 1e-3  # |ours - theirs| over |theirs|, per tensor
GATE_AFTER = 0.02  # the same, of what ten steps changed, over all tensors
GATE_TENSOR = 0.4  # ... and in one: Adam turns gradients that are all rounding into whole steps
GATE_HALF = 1.5  # what bfloat16 turns our gradient by (1 - cosine), over what autocast turns theirs
GATE_TRAINED = 1e-3  # 1 - cosine, once the network has learnt something

STEPS = 10
TRAINED_STEPS = 150
TYPES = {"F32": torch.float32, "F64": torch.float64, "I64": torch.int64}
failed = False


def load(path):
    data = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        raw = bytearray(data[8 + length + first : 8 + length + last])
        tensors[name] = torch.frombuffer(raw, dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def gate(what, value, limit):
    global failed
    failed = failed or not value <= limit
    print(f"  {what:58} {value:9.2e}  {'ok' if value <= limit else 'FAILED'} (gate {limit:g})")


def grey_resnet18():
    model = torchvision.models.resnet18(num_classes=128)
    model.conv1 = torch.nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return model


def embed(model, x):
    return torch.nn.functional.normalize(model(x))


def steps(build, folder, *weights):
    program = pathlib.Path(build) / "tests/golden/train/steps"
    subprocess.run([program, folder, *weights], check=True)
    return load(f"{folder}/model.safetensors"), load(f"{folder}/steps.safetensors")


def worst(pairs):
    """The largest relative difference of (name, ours, theirs)."""
    return max((float((a - b).norm() / b.norm().clamp_min(1e-12)), name) for name, a, b in pairs)


def check_training(build, folder):
    model_file, ours = steps(build, folder)
    model = grey_resnet18()
    state = {k: v for k, v in model_file.items() if not k.startswith("input.")}
    print(model.load_state_dict(state, strict=True), f"of {len(state)} tensors")
    before = copy.deepcopy(model.state_dict())
    with torch.no_grad():
        gate("eval: embeddings", float((embed(model.eval(), ours["x"]) - ours["eval"]).abs().max()),
             GATE_EVAL)
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-4)
    criterion = torch.nn.TripletMarginLoss(margin=1.0, p=2, eps=1e-6)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = criterion(*embed(model, ours["x"]).chunk(3))
        loss.backward()
        losses.append(loss.item())
        if step == 0:
            value, name = worst((n, ours["grad." + n], p.grad) for n, p in model.named_parameters())
            gate("first step: gradient of " + name, value, GATE_GRAD)
        optimizer.step()
    gate(f"losses of {STEPS} steps, {losses[0]:.4f} to {losses[-1]:.4f}",
         float((torch.tensor(losses, dtype=torch.float64) - ours["losses"]).abs().max()), GATE_LOSS)
    changed = [(n, ours["after." + n] - before[n], p - before[n])
               for n, p in model.state_dict().items() if "num_batches" not in n]
    whole = [torch.cat([part[i].flatten() for part in changed]) for i in (1, 2)]
    gate("all steps: change of all weights and statistics", worst([("", *whole)])[0], GATE_AFTER)
    value, name = worst(changed)
    gate("all steps: change of " + name, value, GATE_TENSOR)


def check_rgb(build, folder):
    torch.manual_seed(0)
    rgb = torchvision.models.resnet18()
    with torch.no_grad():
        for _ in range(30):  # running statistics that keep activations alive
            rgb(torch.randn(8, 1, 64, 48).expand(8, 3, 64, 48))
    for zip_layout in True, False:
        path = f"{folder}/resnet18.pth"
        torch.save(rgb.state_dict(), path, _use_new_zipfile_serialization=zip_layout)
        model_file, ours = steps(build, folder, path)
        model = grey_resnet18()
        state = rgb.state_dict()
        state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
        state["fc.weight"], state["fc.bias"] = model_file["fc.weight"], model_file["fc.bias"]
        model.load_state_dict(state)
        with torch.no_grad():
            spread = float(ours["eval"].std(0).mean())
            gate("1 over the spread of these embeddings", 1 / max(spread, 1e-30), 1000)
            gate(f"RGB weights from {'a zip' if zip_layout else 'a legacy'} .pth: embeddings",
                 float((embed(model.eval(), ours["x"]) - ours["eval"]).abs().max()), GATE_EVAL)


def gradients(state, x, half):
    model = grey_resnet18()
    model.load_state_dict(state)
    model = model.train().to(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        rows = embed(model, x.to(memory_format=torch.channels_last))
    torch.nn.TripletMarginLoss(margin=1.0, p=2, eps=1e-6)(*rows.float().chunk(3)).backward()
    return {name: p.grad for name, p in model.named_parameters()}


def turned(exact, other):
    """1 - cosine of all gradients as one vector."""
    a, b = (torch.cat([g[n].flatten().double() for n in exact]) for g in (exact, other))
    return 1 - float(a @ b / a.norm() / b.norm())


def check_halves(build, folder):
    program = pathlib.Path(build) / "tests/golden/train/halves"
    for n_steps in 0, 8, TRAINED_STEPS:
        subprocess.run([program, folder, str(n_steps)], check=True)
        state = {k: v for k, v in load(f"{folder}/model.safetensors").items()
                 if not k.startswith("input.")}
        file = load(f"{folder}/halves.safetensors")
        exact = gradients(state, file["x"], half=False)
        ours = {kind: {n: file[f"{kind}.{n}"] for n in exact} for kind in ("f32", "bf16")}
        theirs = turned(exact, gradients(state, file["x"], half=True))
        value = turned(ours["f32"], ours["bf16"])
        gate(f"after {n_steps} steps: float32 gradients", turned(exact, ours["f32"]), 1e-3)
        gate(f"... 1 - cosine in bfloat16 ({value:.4f}) over autocast's", value / theirs, GATE_HALF)
        if n_steps == TRAINED_STEPS:
            gate("... 1 - cosine in bfloat16", value, GATE_TRAINED)


torch.set_num_threads(1)
print(f"train: resnet18 against torch {torch.__version__}, torchvision {torchvision.__version__}")
with tempfile.TemporaryDirectory() as work:
    check_training(sys.argv[1], work)
    check_halves(sys.argv[1], work)
    check_rgb(sys.argv[1], work)
sys.exit(failed)
