"""Stock Flower 1.41 as documented: SuperLink and SuperNodes, TLS, node authentication."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.processes import cpu_seconds
from commands.children import Children, free_ports, port_answers
from server.exchange import FlowerSuperLink
from server.pki import create_ca, issue_server

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Measured:
    """One configuration's figures; seconds of wall time a round, CPU seconds of all processes."""

    name: str
    rounds_s: list[float]
    accuracy: float
    cpu_s: float
    extra: dict[str, float]


def measure_stock(work: Path, shares: list[Path], app: Path, rounds: int) -> Measured:
    """Run the stock app for `rounds` rounds of FedAvg with evaluation."""
    work.mkdir(parents=True)
    _write_certificates(work)
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    env = {
        "FLWR_HOME": str(work / "home"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "OMP_NUM_THREADS": "1",
    }
    (work / "home").mkdir(mode=0o700)
    with Children(logs=work / "logs") as children:
        superlink = children.start(
            "superlink",
            [
                str(BIN / "flower-superlink"),
                "--host",
                "127.0.0.1",
                "--port",
                str(port),
                "--enable-supernode-auth",
                "--disable-runtime-dependency-installation",
                "--ssl-ca-certfile",
                str(work / "ca.crt"),
                "--ssl-certfile",
                str(work / "server.crt"),
                "--ssl-keyfile",
                str(work / "server.key"),
            ],
            env=env,
        )
        children.wait_until("SuperLink", lambda: port_answers(address), timeout_s=60)
        control = FlowerSuperLink(address=address, ca_pem=(work / "ca.crt").read_bytes())
        started = [superlink]
        for number, share in enumerate(shares):
            key_file = work / f"node{number}"
            control.register_node(_write_node_key(key_file), f"node{number}")
            started.append(
                children.start(
                    f"supernode{number}",
                    [
                        str(BIN / "flower-supernode"),
                        "--superlink",
                        address,
                        "--port",
                        str(free_ports(1)[0]),
                        "--root-certificates",
                        str(work / "ca.crt"),
                        "--auth-supernode-private-key",
                        str(key_file),
                        "--node-config",
                        f'share="{share}"',
                    ],
                    env={**env, "FLWR_HOME": str(work / f"home{number}")},
                )
            )
        out = work / "rounds.jsonl"
        pids = [child.process.pid for child in started]
        before = cpu_seconds(pids)
        control.start_run(_build(app), {"out": str(out), "rounds": rounds})
        children.wait_until(
            f"{rounds} stock rounds",
            lambda: out.exists() and len(_ends(out)) >= rounds,
            timeout_s=60.0 * rounds + 120,
        )
        cpu = cpu_seconds(pids) - before
        time.sleep(1)
    ends = _ends(out)
    starts = [line["time"] for line in _lines(out) if line["what"] == "start"]
    return Measured(
        name="stock Flower 1.41",
        rounds_s=[end["time"] - start for start, end in zip(starts, ends, strict=True)],
        accuracy=ends[-1]["accuracy"],
        cpu_s=cpu,
        extra={},
    )


def _write_certificates(work: Path) -> None:
    now = datetime.now(UTC)
    ca = create_ca("bench", now=now)
    server = issue_server(ca, ["127.0.0.1"], now=now)
    (work / "ca.crt").write_bytes(ca.certificate_pem)
    (work / "server.crt").write_bytes(server.certificate)
    (work / "server.key").write_bytes(server.key)


def _build(app: Path) -> bytes:
    subprocess.run(
        [str(BIN / "flwr"), "build"], cwd=app, check=True, capture_output=True, timeout=120
    )
    (fab,) = app.glob("*.fab")
    data = fab.read_bytes()
    fab.unlink()
    return data


def _write_node_key(path: Path) -> bytes:
    key = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o600)
    public = key.public_key()
    return public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _lines(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def _ends(out: Path) -> list[dict[str, float]]:
    return [line for line in _lines(out) if line["what"] == "end"]
