"""What passes bridges of this host, read from raw sockets; for root on Linux."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

MAX_BYTES: Final = 512 << 20
BUFFER_BYTES: Final = 32 << 20
FRAME_BYTES: Final = 1 << 18  # what the kernel hands on at once may be 64 KiB and more

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h
_SOL_PACKET: Final = 263
_ADD_MEMBERSHIP: Final = 1
_STATISTICS: Final = 6
_PROMISCUOUS: Final = 1
_EVERYTHING: Final = 0x0003
_IP: Final = 0x0800
_FORCED_BUFFER: Final = 33
_TCP: Final = 6
_SYN: Final = 0x02

Flow = tuple[str, int, str, int]


class Capture:
    """Reads frames until it is left, or the bridges are gone. A context manager.

    Attributes:
        flows: what went one way over each TCP connection, in order of arrival.
        beginnings: the flows that were seen from their first packet.
        rest: all other frames, one after another.
        dropped: frames that the kernel could not hand over; known once it is left.
        gone: bridges that were taken away meanwhile.
        full: whether it stopped reading at MAX_BYTES.
    """

    def __init__(self, bridges: Sequence[str]) -> None:
        assert bridges, "expected bridges to watch, got none"
        self.flows: dict[Flow, bytearray] = {}
        self.beginnings: set[Flow] = set()
        self.rest = bytearray()
        self.dropped = 0
        self.gone = 0
        self.full = False
        self._size = 0
        self._sockets = [_open(bridge) for bridge in bridges]
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Read what is there already, then no more; safe to call again."""
        self._ends.set()
        self._thread.join()
        for one in self._sockets:
            statistics = one.getsockopt(_SOL_PACKET, _STATISTICS, 8)
            self.dropped += struct.unpack("II", statistics)[1]
            one.close()
        self._sockets = []

    def found(self, needles: Iterable[bytes]) -> list[bytes]:
        """Those that passed."""
        everything = [bytes(self.rest), *map(bytes, self.flows.values())]
        return [needle for needle in needles if any(needle in one for one in everything)]

    def _read(self) -> None:
        while True:
            ends = self._ends.is_set()
            ready, _, _ = select.select(self._sockets, [], [], 0 if ends else 0.2)
            if (ends and not ready) or not self._sockets:
                return
            for one in ready:
                try:
                    self._take(one.recv(FRAME_BYTES))
                except OSError:  # its network is gone
                    self.gone += 1
                    self._sockets.remove(one)
                    one.close()

    def _take(self, frame: bytes) -> None:
        self._size += len(frame)
        if self._size > MAX_BYTES:
            self.full = True
            return
        found = _tcp(frame)
        if found is None:
            self.rest += frame
            return
        flow, flags, payload = found
        if flags & _SYN:
            self.beginnings.add(flow)
        self.flows.setdefault(flow, bytearray()).extend(payload)


def _open(bridge: str) -> socket.socket:
    """Everything that passes the bridge, also from one of its ports to another."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
    opened.setsockopt(socket.SOL_SOCKET, _FORCED_BUFFER, BUFFER_BYTES)
    opened.bind((bridge, 0))
    member = struct.pack("iHH8s", socket.if_nametoindex(bridge), _PROMISCUOUS, 0, b"")
    opened.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, member)
    return opened


def _tcp(frame: bytes) -> tuple[Flow, int, bytes] | None:
    """Flow, flags and payload of an IPv4 TCP segment; None for anything else."""
    if len(frame) < 34 or int.from_bytes(frame[12:14], "big") != _IP or frame[23] != _TCP:
        return None
    start = 14 + (frame[14] & 0x0F) * 4
    segment = frame[start : 14 + int.from_bytes(frame[16:18], "big")]
    if len(segment) < 20:
        return None
    source, target = (socket.inet_ntoa(frame[at : at + 4]) for at in (26, 30))
    ports = struct.unpack("!HH", segment[:4])
    return (source, ports[0], target, ports[1]), segment[13], segment[(segment[12] >> 4) * 4 :]
