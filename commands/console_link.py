"""`tds space|node|run console-link`: a one-time link that signs its maker in to the console.

The caller's own certificate gets a bearer token over mutual TLS, and the token a link: who has not
the key gets no link, and neither token nor link passes through a file or an argument.
"""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Final

import httpx
import typer

from clients.advance import sign_in_advance
from clients.identity import load_identity
from clients.state import NodeState
from commands.consumer_side import ConsumerFolder
from commands.errors import CommandFailed
from commands.node_wiring import now
from commands.output import JsonFlag, print_json, say
from commands.space_people import SpaceFolder
from policies.canonical import canonical_bytes, parse_json
from policies.errors import DocumentError
from policies.fields import Count, Document, Instant
from policies.space import SpaceCard
from server.console.advance import MAX_IN_ADVANCE, LinkRequest
from server.errors import GovernanceUnavailable
from server.governance_client import GovernanceClient
from server.space import load_space

PATH: Final = "/console/link"
MAX_BYTES: Final = 1 << 16
TIMEOUT_S: Final = 15.0
ROLES: Final = ("operator", "auditor")
NodeFolder = Annotated[Path, typer.Option("--node", envvar="TDS_NODE", help="The node's folder.")]
_REFUSED: Final = {
    400: "expected withdrawals that fit what governance knows of this node; compare with: "
    "tds node reconcile, or make a link without them: --read-only",
    403: "expected the operator's folder for an auditor's link",
    404: "expected a space that serves a console, this one does not (tds serve --console)",
    429: "expected fewer links at once; try again in ten minutes",
}


class Link(Document):
    """A one-time link, and when it ends.

    Attributes:
        withdrawals: how many agreements its session can withdraw.
    """

    url: str
    expires: Instant
    withdrawals: Count = 0


def space_link(
    space: SpaceFolder,
    role: Annotated[
        str, typer.Option(help="operator, or auditor for somebody who only looks.")
    ] = "operator",
    as_json: JsonFlag = False,
) -> None:
    """Make a link that signs the operator, or an auditor, in to the console: once, within ten
    minutes. `tds serve` must run.

    Example: tds space console-link --role auditor --space ./space
    """
    if role not in ROLES:
        raise typer.BadParameter(f"expected {' or '.join(ROLES)}, got {role!r:.40}")
    with GovernanceClient.open(load_space(space).operator_folder) as governance:
        _tell(ask_link(governance, role=role), as_json=as_json)


def consumer_link(consumer: ConsumerFolder, as_json: JsonFlag = False) -> None:
    """Make a link that signs a consumer in to the console: once, within ten minutes.

    Example: tds run console-link --consumer space/consumer
    """
    with GovernanceClient.open(consumer) as governance:
        _tell(ask_link(governance), as_json=as_json)


def node_link(
    node: NodeFolder,
    read_only: Annotated[
        bool,
        typer.Option(
            "--read-only", help="Sign no withdrawals in advance: the console can then file none."
        ),
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Make a link that signs this node's owner in to the space's console: once, within ten minutes.

    A withdrawal is signed for each agreement that stands and kept with the link, in memory, so that
    one click there can withdraw; an operator who misused one could end that consent, and no more.

    Example: tds node console-link --node ./clinic
    """
    identity = load_identity(node)
    signed: list[bytes] = []
    if not read_only:
        with closing(NodeState.open(identity.paths.state)) as state:
            signed, without = sign_in_advance(identity, state, now=now(), most=MAX_IN_ADVANCE)
        if without and not as_json:
            say(f"{without} older agreements can be withdrawn by tds node withdraw alone")
    with GovernanceClient(
        address=identity.config.space.governance,
        ca_pem=identity.ca_pem,
        key_pem=identity.tls_key_pem,
        certificate_pem=identity.certificate_pem,
    ) as governance:
        _tell(ask_link(governance, withdrawals=signed), as_json=as_json)


def ask_link(
    governance: GovernanceClient, *, role: str = "", withdrawals: Sequence[bytes] = ()
) -> Link:
    """A link for whoever's connection this is.

    Args:
        role: another than the caller's own.
        withdrawals: signed in advance, for the session to file.

    Raises:
        CommandFailed: the space has no console, or does not give this link.
        ServerError: governance refused, or did not answer.
    """
    value = parse_json(governance.get_space().space_json, max_bytes=MAX_BYTES)
    card = SpaceCard.from_json(value)
    if card.contracts is None:
        raise CommandFailed(
            f"space {card.name}: expected an endpoint of its contracts, where links are made, it "
            "has none; the operator makes a space with one: tds space init"
        )
    url = f"https://{card.contracts}{PATH}"
    headers = {"authorization": f"Bearer {governance.issue_token()}"}
    context = ssl.create_default_context(cadata=card.ca_pem)
    try:
        with httpx.Client(verify=context, timeout=TIMEOUT_S, trust_env=False) as client:
            answer = client.post(
                url,
                headers=headers,
                params={"role": role} if role else {},
                content=_body(withdrawals),
            )
    except httpx.HTTPError as error:
        raise GovernanceUnavailable(f"{url}: expected an answer, got: {error}") from error
    if answer.status_code != 200:
        text = _REFUSED.get(answer.status_code, f"expected a link, got HTTP {answer.status_code}")
        raise CommandFailed(f"space {card.name}: {text}")
    try:
        return Link.from_json(parse_json(answer.content, max_bytes=MAX_BYTES))
    except DocumentError as error:
        raise CommandFailed(f"{url}: expected a link: {error}") from error


def _body(withdrawals: Sequence[bytes]) -> bytes:
    if not withdrawals:
        return b""
    encoded = [base64.b64encode(one).decode() for one in withdrawals]
    return canonical_bytes(LinkRequest(version=1, withdrawals=encoded).to_json())


def _tell(link: Link, *, as_json: bool) -> None:
    if as_json:
        print_json(link.to_json())
    else:
        say(link.url)
        say(f"open it in a browser; it works once, until {link.expires}")
        if link.withdrawals:
            say(f"agreements that can be withdrawn there with one click: {link.withdrawals}")
