"""Canaries: what lies in an owner's rows, and every secret, is nowhere but where it belongs.

Each row of each owner holds an unguessable text, in a column that no app gets, and features drawn
at random. After a run all files are searched, Flower's database also in each state that it had
while the run went on; for rows also inside base64, since envelopes in the log are written so.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from integration_governed import REFUSED, ROWS, Governed
from integration_space import Secret, of_run, read_log

from server.files import read_secret

pytestmark = pytest.mark.process

ROWS_SEARCHED = 6
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")
_PEM_LINE = re.compile(rb"^[A-Za-z0-9+/=]{40,}$", re.MULTILINE)


def needles(secret: Secret) -> Iterator[bytes]:
    """What must not be found, in every form in which a leak is likely.

    Numbers of four bytes would be found by chance: of float32 neighbours in a row or in a column
    are searched together.
    """
    yield from (text.removeprefix("canary-").encode() for text in secret.texts)
    some = secret.features[:ROWS_SEARCHED]
    for kind in ("<f4", "<f8"):
        for pair in (some[:, 0:2], some[:, 2:4], some.T[:, 0:2], some.T[:, 2:4]):
            yield from (row.astype(kind).tobytes() for row in pair)
    for value in some.ravel():
        yield repr(float(value)).encode()
        yield np.format_float_positional(value, unique=True).encode()


def searchable(data: bytes) -> bytes:
    """The data, what base64 in it stands for, and what base64 in that stands for."""
    layers = [data]
    for _ in range(2):
        runs = _BASE64.findall(layers[-1])
        layers.append(b"\n".join(base64.b64decode(run[: len(run) // 4 * 4]) for run in runs))
    return b"\n".join(layers)


def found_in(data: bytes, wanted: Iterable[bytes]) -> list[bytes]:
    """Those that stand in the data, also in base64 in it."""
    everything = searchable(data)
    return [needle for needle in wanted if needle in everything]


@pytest.fixture(scope="module")
def files(governed: Governed) -> dict[Path, bytes]:
    """Every file of the space, its nodes, its processes' output and Flower's database."""
    return {path: path.read_bytes() for path in governed.root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def decoded(files: dict[Path, bytes]) -> dict[Path, bytes]:
    """The files with what base64 in them stands for."""
    return {path: searchable(data) for path, data in files.items()}


@pytest.fixture(scope="module")
def pages(governed: Governed) -> bytes:
    """All that Flower's database held at any time that was looked at."""
    return searchable(b"\n".join(governed.observed.pages))


@pytest.mark.parametrize("owner", sorted(ROWS))
def test_rows_are_in_no_file_but_the_owners_own(
    governed: Governed, decoded: dict[Path, bytes], owner: str
) -> None:
    secret = governed.secrets[owner]
    wanted = list(needles(secret))
    leaks = {
        path.relative_to(governed.root): found
        for path, data in decoded.items()
        if path != secret.data and (found := [needle for needle in wanted if needle in data])
    }
    assert leaks == {}


@pytest.mark.parametrize("owner", sorted(ROWS))
def test_rows_were_never_in_flowers_database(governed: Governed, pages: bytes, owner: str) -> None:
    assert [needle for needle in needles(governed.secrets[owner]) if needle in pages] == []


def test_rows_are_in_no_command_line_and_no_environment(governed: Governed) -> None:
    seen = "\n".join(governed.observed.commands).encode()
    seen += b"\n".join(governed.observed.environments)
    wanted = [needle for secret in governed.secrets.values() for needle in needles(secret)]
    assert found_in(seen, wanted) == []


def test_rows_are_in_nothing_that_was_sent_to_a_collector(governed: Governed) -> None:
    sent = b"\n".join(governed.observed.telemetry.bodies)
    assert governed.run.run.encode() in sent
    wanted = [needle for secret in governed.secrets.values() for needle in needles(secret)]
    assert found_in(sent, wanted) == []


def test_rows_are_in_no_scratch_folder_of_a_sandbox(governed: Governed) -> None:
    scratch = governed.observed.scratch
    logs = [path for path in scratch if path.match("zygote-*.log")]
    assert len(logs) == len(ROWS)
    wanted = [needle for secret in governed.secrets.values() for needle in needles(secret)]
    assert [path for path, data in scratch.items() if found_in(data, wanted)] == []


def test_the_search_finds_what_is_there(governed: Governed) -> None:
    """Rows in the owner's file; float bytes and base64 in what is made here for the purpose."""
    for secret in governed.secrets.values():
        data = secret.data.read_bytes()
        texts = [text.removeprefix("canary-").encode() for text in secret.texts]
        assert found_in(data, texts) == texts
        wanted = list(needles(secret))
        for made in (secret.features, secret.features.astype("<f8"), secret.features.T):
            assert found_in(np.ascontiguousarray(made).tobytes(), wanted) != []
        inner = b'{"payload":"' + base64.b64encode(data) + b'"}'
        assert found_in(b'{"envelope":"' + base64.b64encode(inner) + b'"}', texts) == texts


def test_the_messages_were_in_what_was_searched(governed: Governed, pages: bytes) -> None:
    """Flower's database held permits and receipts, hence whole messages, while the run went on."""
    entries = read_log(governed.local.space.log_folder)
    accepted = of_run(entries, governed.run.run, "ReceiptAccepted")
    envelopes = [base64.b64decode(str(e.body["envelope"])) for e in accepted]
    assert any(envelope in pages for envelope in envelopes)
    permits = of_run(entries, governed.run.run, "PermitIssued")
    assert any(str(e.body["id"]).encode() in pages for e in permits)


def test_what_trained_had_the_rows(governed: Governed) -> None:
    """Else nothing could leak: the owners that took part did read them."""
    entries = read_log(governed.local.space.log_folder)
    used = {
        e.body["participant"]: e.body["rows_used"]
        for e in of_run(entries, governed.run.run, "ReceiptAccepted", round=1)
    }
    assert set(used) == set(ROWS) - {REFUSED}
    assert all(int(str(count)) > 40 for count in used.values())


# -- keys, tokens, the SuperExec secret ------------------------------------------------------------


@pytest.fixture(scope="module")
def private(governed: Governed, files: dict[Path, bytes]) -> dict[str, bytes]:
    """Each secret by the place where it belongs; of PEM, each line."""
    found = {f"join token {number}": token.encode() for number, token in enumerate(governed.tokens)}
    for path, data in files.items():
        if path.suffix == ".key":
            for number, line in enumerate(_PEM_LINE.findall(data)):
                found[f"{path}:{number}"] = line
    superexec = governed.local.space.superlink_folder / "superexec.secret"
    raw = read_secret(superexec)
    found |= {
        f"{superexec}": raw,
        f"{superexec}, hex": raw.hex().encode(),
        f"{superexec}, base64": base64.b64encode(raw),
    }
    return found


def test_there_are_secrets_to_look_for(governed: Governed, private: dict[str, bytes]) -> None:
    places = [name.rsplit(":", 1)[0] for name in private if ":" in name]
    keys = {Path(place).relative_to(governed.root) for place in places}
    assert len(governed.tokens) == len(ROWS)
    assert {
        Path("space/ca/ca.key"),
        Path("space/keys/permit.key"),
        Path("space/keys/log.key"),
        Path("nodes/north/keys/tls.key"),
        Path("nodes/north/keys/receipt.key"),
        Path("nodes/north/keys/fleet.key"),
    } <= keys


def test_secrets_are_in_no_file_but_their_own(
    governed: Governed, files: dict[Path, bytes], private: dict[str, bytes]
) -> None:
    leaks = [
        (str(path.relative_to(governed.root)), name)
        for path, data in files.items()
        if path.suffix not in {".key", ".secret"}
        for name, needle in private.items()
        if needle in data
    ]
    assert leaks == []


def test_secrets_were_in_no_command_line_and_no_environment(
    governed: Governed, private: dict[str, bytes]
) -> None:
    commands = "\n".join(governed.observed.commands)
    assert str(governed.local.space.folder) in commands  # serve and the executor were seen
    assert "--token" not in commands  # how stock Flower hands a ServerApp its task's token
    seen = commands.encode() + b"\n".join(governed.observed.environments)
    assert [name for name, needle in private.items() if needle in seen] == []
