"""torch's compiler is imported by what compiles, and optimizers do the same without it.

Each case is a process of its own, since what was imported once stays. These tests pin what
`clients.deferral` knows of torch: should torch change, the first one fails.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import clients
from clients.deferral import COMPILER, defer_compiler

ROOT = Path(clients.__path__[0]).parent

TRAIN = """
import hashlib
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import StepLR

def fit(kind, **options):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(8, 2))
    optimizer = kind(net[0].parameters(), lr=0.1, **options)
    if kind is not torch.optim.LBFGS:
        optimizer.add_param_group({"params": net[1:].parameters()})
    schedule = StepLR(optimizer, 2)
    rows, labels = torch.randn(8, 1, 6), torch.arange(8) % 2
    def loss():
        optimizer.zero_grad(set_to_none=False)
        value = nn.functional.cross_entropy(net(rows), labels)
        value.backward()
        clip_grad_norm_(net.parameters(), 1.0)
        return value
    for _ in range(4):
        optimizer.step(loss)
        schedule.step()
    optimizer.load_state_dict(optimizer.state_dict())
    return b"".join(p.detach().numpy().tobytes() for p in net.parameters())

kinds = [
    (torch.optim.SGD, {"momentum": 0.9}), (torch.optim.SGD, {"foreach": True}),
    (torch.optim.Adam, {}), (torch.optim.AdamW, {"fused": True}), (torch.optim.RMSprop, {}),
    (torch.optim.Adagrad, {}), (torch.optim.LBFGS, {}),
]
print(hashlib.sha256(b"".join(fit(kind, **options) for kind, options in kinds)).hexdigest())
print("torch._dynamo.eval_frame" in sys.modules)
"""

COMPILE = """
net = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
@torch.compiler.disable
def shown(values):
    return values.tolist()
def step(rows):
    optimizer.zero_grad()
    net(rows).sum().backward()
    optimizer.step()
    return shown(rows)
rows = torch.ones(3, 2)
step(rows)
print("torch._dynamo.eval_frame" in sys.modules)
before = net.weight.detach().clone()
compiled = torch.compile(step, backend="eager")
for _ in range(2):
    assert compiled(rows) == rows.tolist()
print(torch.allclose(net.weight, before - 0.6), sys.modules["torch._dynamo"].__file__)
twice = torch.compile(lambda x: x * 2, backend="eager", fullgraph=True)
print(twice(rows).sum().item(), torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0)
"""

IMPORTS = """
import torch._dynamo.config
print("torch._dynamo.eval_frame" in sys.modules, torch._dynamo is sys.modules["torch._dynamo"])
"""


def run(script: str, *, deferred: bool = True) -> list[str]:
    """What the script prints, as words."""
    head = "import sys, torch\nfrom clients.deferral import defer_compiler\n"
    call = "defer_compiler()\n" if deferred else ""
    done = subprocess.run(
        [sys.executable, "-c", head + call + script],
        cwd=ROOT,
        env={"OMP_NUM_THREADS": "1", "HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_optimizers_do_the_same_without_the_compiler() -> None:
    deferred, without_compiler = run(TRAIN)
    ordinary, with_compiler = run(TRAIN, deferred=False)
    assert deferred == ordinary
    assert (without_compiler, with_compiler) == ("False", "True")


def test_what_compiles_gets_the_compiler() -> None:
    loaded, same, file, doubled, graphs = run(COMPILE)
    assert loaded == "False"
    assert (same, doubled, graphs) == ("True", "12.0", "True")
    assert file.endswith("torch/_dynamo/__init__.py")


def test_whatever_else_is_asked_of_it_brings_in_the_real_one() -> None:
    assert run(IMPORTS) == ["True", "True"]


def test_without_torch_there_is_nothing_to_defer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delitem(sys.modules, COMPILER, raising=False)
    defer_compiler()
    assert COMPILER not in sys.modules
