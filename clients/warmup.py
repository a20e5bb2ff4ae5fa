"""What the zygote does once so that no child has to: the first uses of Flower, numpy and torch.

Much is made ready only when it is first used: operator tables, caches of types, modules imported
late. A child that is forked after that finds it done; else each job pays for it, with a quarter of
its time. Nothing of an app is run here and the data is zeros. No thread may be left behind: a fork
of a process with threads can hang.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.random
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from clients.appcall import Call, answer
from clients.sdk import Rows, training_rows
from policies.tensors import pack_tensors

_WIDTH: Final = 4
_ROWS: Final = 8
_ACCELERATED: Final = ("cuda", "hip", "xpu")


def warm_up() -> None:
    """Call an app that trains a tiny network, if torch is imported, and returns what it got."""
    app = ClientApp()
    app.train()(_train)
    model = {
        "0.weight": np.zeros((2, _WIDTH), dtype=np.float32),
        "0.bias": np.zeros(2, dtype=np.float32),
    }
    features = np.zeros((_ROWS, _WIDTH), dtype=np.float32)
    labels = np.zeros(_ROWS, dtype=np.int64)
    call = Call(app_dir=Path("/"), kind="train", model=pack_tensors(model), run_config={}, round=1)
    answer(app, call, Rows(features, labels, features, labels, ("x",) * _WIDTH, ("a", "b")))


def _train(message: Message, _context: Context) -> Message:
    arrays: Any = message.content["arrays"]
    trained = ArrayRecord({name: Array(array.numpy()) for name, array in arrays.items()})
    torch = sys.modules.get("torch")
    if torch is not None:
        trained = _fit(torch, arrays, training_rows())
    metrics = MetricRecord({"loss": 0.5, "num-examples": _ROWS})
    return Message(content=RecordDict({"arrays": trained, "metrics": metrics}), reply_to=message)


def _fit(torch: Any, arrays: Any, rows: Rows) -> ArrayRecord:
    torch.set_num_threads(1)
    network = torch.nn.Sequential(torch.nn.Linear(_WIDTH, 2), torch.nn.ReLU())
    network.load_state_dict(arrays.to_torch_state_dict())
    features, labels = torch.tensor(rows.features), torch.tensor(rows.labels)
    with torch.no_grad():
        network(features).argmax(dim=1).sum().item()
    # In a build for accelerators the first gradient opens the device and starts its threads.
    accelerated = any(getattr(torch.version, kind, None) for kind in _ACCELERATED)
    for kind in () if accelerated else (torch.optim.SGD, torch.optim.Adam):
        optimizer = kind(network.parameters(), lr=0.1)
        for batch in torch.randperm(_ROWS).split(_ROWS // 2):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(network(features[batch]), labels[batch])
            loss.backward()
            optimizer.step()
            loss.item()
    return ArrayRecord(network.state_dict())
