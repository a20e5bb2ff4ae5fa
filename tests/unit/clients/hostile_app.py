"""Apps that cheat, as one Flower app: `do` in the run config names the attack.

An attack on what an app can reach reports the error number that it met as the figure `loss`, which
the permit lets out: 0 would mean that it worked.
"""

from __future__ import annotations

from pathlib import Path

PILOT = 64.0
"""What `rows-with-pilot` adds to the first weight."""

PYPROJECT = """
[project]
name = "hostile"
version = "1.0.0"
[tool.flwr.app]
publisher = "tests"
[tool.flwr.app.components]
serverapp = "server.app:app"
clientapp = "hostile_app.client:app"
"""

CLIENT = r"""
import ctypes, glob, json, os, signal, socket, struct, sys, tempfile, threading, time
import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from clients.sdk import training_rows

app = ClientApp()
LIBC = ctypes.CDLL(None, use_errno=True)

def number(action):
    try:
        action()
    except OSError as error:
        return error.errno or -1
    return 0

def call(*arguments):
    ctypes.set_errno(0)
    done = LIBC.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    return ctypes.get_errno() if done == -1 else 0

def execute_file():
    descriptor = os.open("tool", os.O_RDWR | os.O_CREAT, 0o700)
    os.write(descriptor, open(sys.executable, "rb").read(4096))
    return call(322, descriptor, b"", 0, 0, 0x1000)

def datagram_pair(c):
    def send():
        one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.sendto(row(), c["path"])
    return number(send)

def row():
    return training_rows().features.tobytes()

def secret():
    return repr(float(training_rows().features[0, 0]))

def forks():
    done = 0
    for _ in range(10_000):
        try:
            if os.fork() == 0:
                os._exit(0)
            done += 1
        except PermissionError:
            pass
    return done

def threads():
    for count in range(10_000):
        try:
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        except (RuntimeError, MemoryError):
            return 0
    return count

def spin():
    while True:
        pass

def stubborn():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    spin()

def daemon():
    threading.Thread(target=time.sleep, args=(600,)).start()
    return number(os.fork) and number(os.setsid)

def flood():
    for _ in range(1024):
        os.write(3, bytes(1 << 20))

def frame(head, update=b"", state=b""):
    from clients.frames import FRAME, MAGIC
    data = json.dumps(head).encode()
    os.write(3, FRAME.pack(MAGIC, len(data), len(update), len(state)) + data + update + state)
    os._exit(0)

def patch(do):
    import clients.appcall, flwr.app
    flwr.app.Message.has_content = lambda self: True
    sys.modules["__main__"].confine = None
    if do == "patch-rows":
        clients.appcall.provide = None
    text = secret()
    clients.appcall._metrics = lambda content: {"loss": "1", text: "1", "rows": text}

def raising(name):
    space = {}
    exec(compile("def fail(text):\n    raise ValueError(text)", name, "exec"), space)
    space["fail"](secret())

def noise():
    print(secret())
    print(secret(), file=sys.stderr)
    os.write(1, secret().encode())
    import logging, warnings
    logging.getLogger("clients.work").error(secret())
    warnings.warn(secret())
    raise RuntimeError(secret())

def fill_files():
    made = 0
    try:
        for made in range(1_000_000):
            open(f"f{made}", "wb").close()
    except OSError:
        pass
    return made

def fill_folders():
    made = 0
    try:
        for made in range(1_000_000):
            os.mkdir("d")
            os.chdir("d")
    except OSError:
        pass
    return made

def fill_bytes():
    # In files of 64 MiB that have no name any more.
    held, block = [], bytes(1 << 20)
    try:
        while True:
            held.append(open("x", "wb", buffering=0))
            os.unlink("x")
            for _ in range(64):
                if held[-1].write(block) < len(block):
                    raise OSError
    except OSError:
        return sum(os.fstat(file.fileno()).st_size for file in held)

def burn():
    import hashlib
    work = lambda: [hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000) for _ in range(10_000)]
    many = [threading.Thread(target=work) for _ in range(16)]
    for thread in many:
        thread.start()
    many[0].join()

def remember():
    found = sum(len(glob.glob(os.path.join(place, "kept-*")))
                for place in (".", os.environ["HOME"], tempfile.gettempdir(), "/tmp", "/dev/shm"))
    found += getattr(np, "kept", 0)
    np.kept = 1
    open("kept-" + secret(), "wb").write(row())
    return found

def keep(context, do):
    found = len(context.state)
    if do == "state-keep":
        context.state["mine"] = ConfigRecord({"secret": secret(), "row": row()})
    elif do == "state-gigabyte":
        step = np.zeros(1 << 24, dtype=np.uint8)
        context.state["big"] = ArrayRecord({str(n): Array(step) for n in range(64)})
    elif do == "state-object":
        context.state = {"mine": secret()}
    elif do == "state-forged":
        frame({"ok": True, "metrics": {}}, ours(), b"\x00" * 7 + row())
    elif do == "state-pickle":
        head = json.dumps([["r", "arrays", [["k", "0"]]]]).encode()
        frame({"ok": True, "metrics": {}}, ours(), struct.pack("<Q", len(head)) + head + b"\x80")
    elif do == "state-flood":
        from clients.frames import FRAME, MAGIC
        os.write(3, FRAME.pack(MAGIC, 2, 0, 1 << 30) + b"{}")
        flood()
    return found

def ours():
    from policies.tensors import pack_tensors
    return pack_tensors({"weight": np.ones((2, 3), dtype=np.float32)})

def own_exception():
    raise type("E" + secret(), (Exception,), {})(secret())

REACH = {
    "inet": lambda c: number(lambda: socket.create_connection(("127.0.0.1", int(c["port"])))),
    "inet6": lambda c: number(lambda: socket.socket(socket.AF_INET6)),
    "netlink": lambda c: number(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)),
    "dns": lambda c: number(lambda: socket.getaddrinfo("example.org", 443)),
    "unix": lambda c: number(lambda: socket.socket(socket.AF_UNIX).connect(c["path"])),
    "datagram-pair": datagram_pair,
    "io_uring": lambda c: call(425, 8, bytes(120)),
    "ptrace": lambda c: call(101, 16, os.getppid(), 0, 0),
    "process_vm_readv": lambda c: call(310, int(c["pid"]), bytes(16), 1, bytes(16), 1, 0),
    "execveat": lambda c: execute_file(),
    "userfaultfd": lambda c: call(323, 0),
    "keyctl": lambda c: call(250, 0, -3, 1),
    "bpf": lambda c: call(321, 0, bytes(64), 64),
    "perf": lambda c: call(298, bytes(112), 0, -1, -1, 0),
    "unshare": lambda c: call(272, 0x10000000),
    "mount": lambda c: call(165, b"none", b"/tmp", b"tmpfs", 0, 0),
    "pidfd": lambda c: call(434, int(c["pid"]), 0),
    "shared-memory": lambda c: call(30, int(c["segment"]), 0, 0),
    "kill-parent": lambda c: number(lambda: os.kill(os.getppid(), 9)),
    "kill-node": lambda c: number(lambda: os.kill(int(c["pid"]), 15)),
    "kill-all": lambda c: number(lambda: os.kill(-1, 9)),
    "limit-parent": lambda c: call(302, os.getppid(), 7, bytes(16), 0),
    "undo-death-signal": lambda c: -1 if LIBC.prctl(1, 0) else 0,
    "become-root": lambda c: number(lambda: os.setresuid(0, 0, 0)),
    "read": lambda c: number(lambda: open(c["path"], "rb").read()),
    "write": lambda c: number(lambda: open(c["path"], "wb").write(row())),
    "list": lambda c: number(lambda: os.listdir(c["path"])),
    "proc-parent": lambda c: number(lambda: open(f"/proc/{os.getppid()}/environ", "rb").read()),
    "proc-node": lambda c: number(lambda: open(f"/proc/{c['pid']}/mem", "rb").read(1)),
    "proc-node-files": lambda c: number(lambda: os.listdir(f"/proc/{c['pid']}/fd")),
    "proc-self-root": lambda c: number(lambda: open("/proc/self/root/etc/passwd").read()),
    "forks": lambda c: forks(),
    "fill-files": lambda c: fill_files(),
    "fill-folders": lambda c: fill_folders(),
    "fill-bytes": lambda c: fill_bytes(),
    "memfd": lambda c: number(lambda: os.memfd_create("hoard")),
    "threads": lambda c: threads(),
    "daemon": lambda c: daemon(),
    "remember": lambda c: remember(),
}

ENDS = {
    "spin": spin,
    "burn": burn,
    "stubborn": stubborn,
    "sleep": lambda: time.sleep(600),
    "hundred-gigabytes": lambda: np.ones(100 << 30, dtype=np.uint8),
    "gigabyte": flood,
    "segfault": lambda: ctypes.string_at(0),
    "exit-code": lambda: os._exit(int(training_rows().features[0, 0])),
    "signal": lambda: os.kill(os.getpid(), 34 + int(training_rows().features[0, 0]) % 30),
    "noise": noise,
    "file-name": lambda: raising(secret() + ".py"),
    "file-name-inside": lambda: raising(os.path.join(sys.path[0], secret() + ".py")),
    "own-exception": own_exception,
    "forged-refusal": lambda: frame({"ok": False, "stage": "confinement", "text": secret()}),
    "forged-type": lambda: frame({"ok": False, "type": secret(), "file": secret(), "line": 4711}),
    "forged-frame": lambda: frame({"ok": True, "metrics": {"loss": secret() * 100}}, row()),
    "forged-update": lambda: frame({"ok": True, "metrics": {}}, row()),
}

def arrays(do, incoming):
    rows = training_rows().features
    weight = np.ones((2, 3), dtype=np.float32)
    return {
        "rows-as-weights": {"weight": np.resize(rows, (2, 3))},
        # The first number says how much all of them were scaled down.
        "rows-with-pilot": {
            "weight": incoming + np.float32([64, *np.resize(rows, 5)]).reshape(2, 3)
        },
        "nan": {"weight": np.full((2, 3), np.nan, dtype=np.float32)},
        "type": {"weight": weight.astype(np.float64)},
        "object": {"weight": np.array([[{"row": secret()}]], dtype=object)},
        "more-layers": {"weight": weight, secret(): rows},
        "fewer-layers": {},
        "other-name": {secret(): weight},
        "shape": {"weight": np.zeros((int(rows[0, 0] * 1e6), 0), dtype=np.float32)},
    }.get(do, {"weight": weight})

def figures(do):
    value = float(training_rows().features[0, 0])
    return {
        "rows-as-figures": {"loss": value},
        "figure-names": {secret(): 1.0, "loss": 1.0},
        "figure-nan": {"loss": float("nan")},
        "figure-huge": {"loss": 1e300},
        "examples": {"loss": 1.0, "num-examples": -5},
        "more-examples": {"loss": 1.0, "num-examples": 2**60},
    }.get(do, {"loss": 1.0})

@app.train()
def train(message, context):
    do = str(context.run_config["do"])
    metrics = figures(do)
    if do in REACH:
        metrics = {"loss": REACH[do](context.run_config)}
    elif do in ENDS:
        ENDS[do]()
    elif do.startswith("patch"):
        patch(do)
    elif do.startswith("state"):
        metrics = {"loss": keep(context, do)}
    content = {"metrics": MetricRecord(metrics)}
    incoming = next(iter(message.content["arrays"].values())).numpy()
    content["arrays"] = ArrayRecord({n: Array(a) for n, a in arrays(do, incoming).items()})
    if do == "config-record":
        content["config"] = ConfigRecord({secret(): secret(), "rows": row()})
    if do == "two-records":
        content["more"] = MetricRecord({"loss": 2.0})
    reply = Message(content=RecordDict(content), reply_to=message)
    if do == "other-run":
        reply.metadata.__dict__["_run_id"] = 4711
        context.run_id = 4711
    return reply
"""


def write_app(folder: Path) -> Path:
    """The app in `folder`, as an approved bundle lies on a node."""
    (folder / "hostile_app").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "hostile_app" / "client.py").write_text(CLIENT)
    return folder
