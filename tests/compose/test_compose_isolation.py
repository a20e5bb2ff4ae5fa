"""From inside an enterprise's container: whom it can reach, and what its certificate opens.

Nothing outside the project is asked for: that there is no way out is read from routes and names.
"""

from __future__ import annotations

import subprocess

import pytest
from compose_project import NODES, Project

INSIDE = "riverside"
PORTS = (9000, 9443, 9444, 9446)  # the SuperLink's one; governance's three
PROXY_PORTS = {9443, 9444, 9445, 9446}

REACH = """
import concurrent.futures, socket
def reaches(target):
    try:
        socket.create_connection(target, timeout=3).close()
        return True
    except OSError:
        return False
targets = {targets!r}
with concurrent.futures.ThreadPoolExecutor(32) as pool:
    for target, open in zip(targets, pool.map(reaches, targets)):
        if open:
            print(*target)
"""
ROUTES = """
import fcntl, socket, struct
for line in open("/proc/net/route").read().splitlines()[1:]:
    name, target, gateway, *_ = line.split()
    print(name, *(socket.inet_ntoa(struct.pack("<I", int(one, 16))) for one in (target, gateway)))
"""
OUTSIDE = """
import socket
try:
    print(socket.getaddrinfo("example.com", 443))
except OSError as problem:
    print("no name:", problem.errno == socket.EAI_AGAIN)
"""
CALL = """
from pathlib import Path
import grpc
from clients.identity import load_identity
from policies.governance_pb2 import DESCRIPTOR
from server.access import ROLES_BY_RPC
node = load_identity(Path("/node/home"))
own = grpc.ssl_channel_credentials(node.ca_pem, node.tls_key_pem, node.certificate_pem)
nobody = grpc.ssl_channel_credentials(node.ca_pem)
def says(channel, name, timeout=20):
    try:
        channel.unary_unary("/" + service.full_name + "/" + name)(b"", timeout=timeout)
        return "OK"
    except grpc.RpcError as problem:
        return problem.code().name
service = DESCRIPTOR.services_by_name["Governance"]
with grpc.secure_channel("proxy:9443", own) as channel:
    print("own GetSpace", says(channel, "GetSpace"))
    for method in service.methods:
        if "node" not in ROLES_BY_RPC.get(method.name, ()):
            print("own", method.name, says(channel, method.name))
with grpc.secure_channel("proxy:9443", nobody) as channel:
    print("nobody GetSpace", says(channel, "GetSpace", 5))
    print("nobody Invite", says(channel, "Invite", 5))
"""


def test_no_other_container_can_be_reached_by_its_address(space: Project) -> None:
    others = ("superlink", "governance", "executor", *(one for one in NODES if one != INSIDE))
    [own_network] = space.inspect(INSIDE)["NetworkSettings"]["Networks"]
    networks = space.inspect("proxy")["NetworkSettings"]["Networks"]
    proxy = networks.pop(own_network)["IPAddress"]
    addresses = [address for other in others for address in space.addresses(other)]
    addresses += [one["IPAddress"] for one in networks.values()]  # the proxy's in others' networks
    targets = [(address, port) for address in addresses for port in (*PORTS, 9445)]
    targets.append((proxy, 9443))
    assert space.python(INSIDE, REACH.format(targets=targets)).split() == [proxy, "9443"]


@pytest.mark.parametrize(
    ("service", "ports"), [("superlink", PORTS[:1]), ("governance", PORTS[1:])]
)
def test_they_listen_at_the_addresses_that_were_tried(
    space: Project, service: str, ports: tuple[int, ...]
) -> None:
    [address, *_] = space.addresses(service)
    for port in ports:
        said = f"exec 3<>/dev/tcp/{address}/{port}"
        space.compose("exec", "-T", "proxy", "timeout", "5", "bash", "-c", said)


def test_the_proxy_listens_where_it_must_and_nowhere_else(space: Project) -> None:
    lines = space.compose("exec", "-T", "proxy", "cat", "/proc/net/tcp", "/proc/net/tcp6")
    sockets = [line.split() for line in lines.splitlines() if ":" in line.split()[0]]
    listening = [one[1].split(":") for one in sockets if one[3] == "0A"]
    # Addresses stand backwards: 7F is loopback, where the engine's resolver of names listens.
    assert {int(port, 16) for address, port in listening if address[6:8] != "7F"} == PROXY_PORTS


def test_there_is_no_way_out(space: Project) -> None:
    """What the one route beside its own network's leads to is an address that nobody has."""
    [network] = space.inspect(INSIDE)["NetworkSettings"]["Networks"].values()
    own = network["IPAddress"].rpartition(".")[0].rpartition(".")[0]
    routes = [line.split() for line in space.python(INSIDE, ROUTES).splitlines()]
    assert {gateway for _, _, gateway in routes} <= {network["Gateway"], "0.0.0.0"}
    assert all(
        target.startswith(own) or gateway == network["Gateway"] for _, target, gateway in routes
    )
    held = subprocess.run(["ip", "-o", "addr"], capture_output=True, text=True, check=True).stdout
    assert f" {network['Gateway']}/" not in held
    assert space.python(INSIDE, OUTSIDE).strip() == "no name: True"


def test_its_certificate_opens_nothing_that_is_the_operators_or_a_consumers(space: Project) -> None:
    said = [line.split() for line in space.python(INSIDE, CALL).splitlines()]
    assert said[0] == ["own", "GetSpace", "OK"]
    refused = {name: answer for who, name, answer in said[1:] if who == "own"}
    operators = {"Invite", "RegisterApp", "CertifyProduct", "IssueVoucher", "NameAuditor"}
    assert operators | {"OpenRun", "StopRun", "AuthorizeRound", "ReleaseMasks"} <= set(refused)
    assert set(refused.values()) == {"PERMISSION_DENIED"}
    without = {answer for who, _, answer in said if who == "nobody"}
    assert without == {"UNAVAILABLE"}  # the handshake fails: no certificate, no word
