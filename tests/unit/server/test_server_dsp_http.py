"""The binding over real TLS: paths, status codes, error bodies, and who learns what."""

from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from dsp_callbacks import callback_server, wait_for
from dsp_site import CALLBACK, Bed, Contracts, copied, until
from dsp_vectors import VERSIONS, check, valid
from server_site import CONSUMER, OPERATOR, Node, Site

from policies.canonical import canonical_bytes
from policies.errors import DocumentError, SignatureError
from policies.fields import instant
from policies.odrl import Offer
from server.dsp import body, catalogue, documents
from server.dsp.client import ContractsClient
from server.dsp.consumer import check_agreement, published_offer, verification
from server.dsp.documents import BASE, EXTENSION
from server.dsp.endpoint import serve_contracts
from server.dsp.messages import MAX_BODY_BYTES, SIGNATURE, digest_json
from server.errors import GovernanceRefused, GovernanceUnavailable, ServerError, Unavailable
from server.pki import create_ca

UNKNOWN = f"{BASE}/negotiations/urn:tdspace:negotiation:{'0' * 32}"


@pytest.fixture
def dsp(bed: Bed) -> Contracts:
    return Contracts(bed.site)


@pytest.fixture
def offer(bed: Bed) -> Offer:
    made = Contracts(bed.site)
    return made.publish(id=f"offer-{bed.site.log.size}")


def pid(bed: Bed) -> str:
    return f"urn:uuid:{bed.site.log.size}-{time.monotonic_ns()}"


# -- the whole way, with our client ---------------------------------------------------------------


def owner_key(node: Node) -> Any:
    return node.receipt.public_key()


def test_a_negotiation_from_requested_to_finalized(bed: Bed, dsp: Contracts, offer: Offer) -> None:
    node = dsp.owner
    with bed.consumer() as client:
        assert client.versions()
        dataset = client.dataset(node.product)
        wanted = published_offer(dataset, offer.id)
        assert wanted == offer
        known = client.request(pid(bed), wanted, node.product)
        assert known.state == "REQUESTED"
        dsp.agree(
            bed.site.governance.contracts.negotiations.get(CONSUMER, known.provider_pid),
            id=f"agreed-{bed.site.log.size}",
        )
        known = client.negotiation(known.provider_pid)
        assert known.state == "AGREED"
        agreement = check_agreement(
            known,
            offer=wanted,
            product=node.product,
            consumer="consortium",
            owner_key=owner_key(node),
        )
        assert (agreement.assigner, agreement.assignee) == ("alpha", "consortium")
        known = client.verify(known, key=dsp.key, participant="consortium")
        assert known.state == "FINALIZED"
        with pytest.raises(GovernanceRefused, match="cannot be made VERIFIED"):
            client.verify(known, key=dsp.key, participant="consortium")
        transfer = client.request_transfer(pid(bed), agreement.id)
        assert transfer.state == "REQUESTED"
        run = bed.site.open_run(pid(bed), agreements=[agreement.id])
        assert client.transfer(transfer.provider_pid).state == "STARTED"
        client.move(transfer, "suspension", "a pause")
        assert client.move(transfer, "start").state == "STARTED"
        assert client.move(transfer, "termination", "enough").state == "TERMINATED"
    (verdict,) = bed.site.authorize(run).verdicts
    assert [one["code"] for one in verdict["reasons"]] == ["transfer-terminated"]


def test_a_consumer_signs_what_it_asked_for_only(bed: Bed, dsp: Contracts, offer: Offer) -> None:
    node = dsp.owner
    with bed.consumer() as client:
        known = client.request(pid(bed), offer, node.product)
        wanted: dict[str, Any] = {
            "offer": offer,
            "product": node.product,
            "consumer": "consortium",
            "owner_key": owner_key(node),
        }
        with pytest.raises(DocumentError, match="AGREED"):
            check_agreement(known, **wanted)
        row = bed.site.governance.contracts.negotiations.get(CONSUMER, known.provider_pid)
        dsp.agree(row, id=f"agreed-{bed.site.log.size}")
        known = client.negotiation(known.provider_pid)
    check_agreement(known, **wanted)
    for changes, kind in (
        ({"product": "beta/records"}, DocumentError),
        ({"consumer": "rival"}, DocumentError),
        ({"offer": dsp.publish(until("2099-01-01T00:00:00Z"), id=pid(bed)[9:])}, DocumentError),
        ({"owner_key": owner_key(bed.site.nodes["beta"])}, SignatureError),
    ):
        with pytest.raises(kind):
            check_agreement(known, **(wanted | changes))


def test_the_providers_offer_is_shown_and_accepted(bed: Bed, dsp: Contracts, offer: Offer) -> None:
    with bed.consumer() as client:
        known = client.request(pid(bed), offer, dsp.owner.product)
        row = bed.site.governance.contracts.negotiations.get(CONSUMER, known.provider_pid)
        dsp.new_id = lambda what: f"{what}-{bed.site.log.size}"  # type: ignore[method-assign]
        dsp.counter_offer(row)
        known = client.negotiation(known.provider_pid)
        assert known.state == "OFFERED"
        assert known.offer is not None and known.offer.id.startswith("counter-")
        assert client.counter(known, known.offer, dsp.owner.product).state == "REQUESTED"
        assert client.terminate(known, "too dear").state == "TERMINATED"


# -- what the protocol says ------------------------------------------------------------------------


def test_versions_need_no_token(bed: Bed) -> None:
    answer = bed.http(None).get("/.well-known/dspace-version")
    assert answer.status_code == 200
    check(answer.json(), VERSIONS)
    assert answer.json()["protocolVersions"][0]["path"] == BASE


def test_every_message_of_a_negotiation_validates(bed: Bed, dsp: Contracts, offer: Offer) -> None:
    client, base = bed.http(), f"{BASE}/negotiations"
    message = documents.request_message(
        pid(bed), offer.to_json(), dsp.owner.product, callback=CALLBACK
    )
    check(message)
    made = valid(client.post(f"{base}/request", json=message), 201)
    assert made["state"] == "REQUESTED"
    assert valid(client.post(f"{base}/request", json=message), 201) == made
    provider_pid, consumer_pid = made["providerPid"], made["consumerPid"]
    row = bed.site.governance.contracts.negotiations.get(CONSUMER, provider_pid)
    dsp.agree(row, id=f"agreed-{bed.site.log.size}")
    agreed = valid(client.get(f"{base}/{provider_pid}"))
    assert agreed["state"] == "AGREED"
    with bed.consumer() as ours:
        known = ours.negotiation(provider_pid)
    text = str(agreed[EXTENSION + "agreement"])
    signed = verification(known, document=text, key=dsp.key, participant="consortium")
    check(signed)
    path = f"{base}/{provider_pid}/agreement/verification"
    assert valid(client.post(path, json=signed))["state"] == "FINALIZED"
    refusal = valid(client.post(path, json=signed), 400)
    assert refusal["@type"] == "ContractNegotiationError"
    assert (refusal["providerPid"], refusal["consumerPid"]) == (provider_pid, consumer_pid)
    assert "FINALIZED" in refusal["reason"][0]


def test_a_verification_by_somebody_else_says_why(bed: Bed, dsp: Contracts, offer: Offer) -> None:
    row = dsp.agree(dsp.request(offer, consumerPid=pid(bed)), id=f"agreed-{bed.site.log.size}")
    path = f"{BASE}/negotiations/{row.id}/agreement/verification"
    for changes, said in (
        ({SIGNATURE: None}, "expected a DSSE envelope, got none"),
        ({"participant": "alpha"}, "expected one by consortium"),
        ({"key": dsp.owner.receipt}, "expected a signature by key"),
        ({"document": "{}"}, "word for word"),
    ):
        message = digest_json(dsp.verification(row, **changes))
        document = valid(bed.http().post(path, json=message), 400)
        assert said in document["reason"][0]
    assert dsp.get(row).state == "AGREED"


def test_the_catalogue_lists_offers(bed: Bed, dsp: Contracts, offer: Offer) -> None:
    client = bed.http()
    request = documents.root({"@type": "CatalogRequestMessage"})
    found = valid(client.post(f"{BASE}/catalog/request", json=request))
    (dataset,) = [one for one in found["dataset"] if one["@id"] == dsp.owner.product]
    offers = {one["@id"]: one for one in dataset["hasPolicy"]}
    assert "target" not in offers[offer.id] and "@context" not in offers[offer.id]
    assert dataset["distribution"][0]["format"] == "FederatedTraining"
    assert found["participantId"] == "operator"
    assert found["service"][0]["endpointURL"].startswith("https://127.0.0.1:")
    alone = valid(client.get(f"{BASE}/catalog/datasets/alpha%2Frecords"))
    assert alone["hasPolicy"] == dataset["hasPolicy"]
    unlisted = valid(client.get(f"{BASE}/catalog/datasets/gamma%2Frecords"), 404)
    assert unlisted["@type"] == "CatalogError"
    dsp.publish(until("2099-01-01T00:00:00Z"), id=pid(bed)[9:])


def test_an_offer_that_is_over_or_taken_back_is_not_listed(site: Site) -> None:
    dsp = Contracts(site)
    soon = until(instant(site.now))
    site.tick(-10)
    dsp.publish(soon)
    given = dsp.publish()
    listed = site.governance.contracts.catalogue
    (dataset,) = listed.page().document["dataset"]  # type: ignore[misc, union-attr, assignment]
    assert len(dataset["hasPolicy"]) == 2  # type: ignore[index, call-overload, arg-type]
    site.tick(20)
    (dataset,) = listed.page().document["dataset"]  # type: ignore[misc, union-attr, assignment]
    assert [one["@id"] for one in dataset["hasPolicy"]] == [given.id]  # type: ignore[index, call-overload, union-attr]
    back = dsp.offer_envelope(None, offer=given.id)
    site.governance.contracts.offers.publish(dsp.owner.identity, back)
    assert "dataset" not in listed.page().document


def test_the_catalogue_has_pages(bed: Bed, offer: Offer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "PAGE", 1)
    beta = Contracts(bed.site, "beta")
    beta.publish(id=f"offer-beta-{bed.site.log.size}")
    client, path = bed.http(), f"{BASE}/catalog/request"
    request = documents.root({"@type": "CatalogRequestMessage"})
    first = client.post(path, json=request)
    assert [one["@id"] for one in valid(first)["dataset"]] == ["alpha/records"]
    assert 'rel="next"' in first.headers["link"] and 'rel="previous"' not in first.headers["link"]
    second = client.post(f"{path}?page=1", json=request)
    assert [one["@id"] for one in valid(second)["dataset"]] == ["beta/records"]
    assert 'page=0>; rel="previous"' in second.headers["link"]
    assert "dataset" not in valid(client.post(f"{path}?page=7", json=request))
    for page in ("-1", "x", "9" * 30, "１"):
        valid(client.post(path, params={"page": page}, json=request), 400)
    valid(client.post(path, json=request | {"filter": ["x"]}), 400)
    with bed.consumer() as ours:
        assert len(ours.datasets()) == 2


# -- who learns what -------------------------------------------------------------------------------


def shape(response: httpx.Response) -> tuple[int, bytes, tuple[tuple[str, str], ...]]:
    """All that a caller can see, but for the time."""
    headers = sorted(item for item in response.headers.items() if item[0] != "date")
    return response.status_code, response.content, tuple(headers)


def test_unauthorised_is_not_to_be_told_from_unknown(
    bed: Bed, dsp: Contracts, offer: Offer
) -> None:
    row = dsp.request(offer, consumerPid=pid(bed))
    mine, path = f"{BASE}/negotiations/{row.id}", "/termination"
    message = documents.process_message(
        "ContractNegotiationTerminationMessage", row.id, row.consumer_pid
    )
    nobody = bed.http(None)
    forged = bed.http(None, authorization="Bearer " + "A" * 43)
    rival, owner = bed.http(OPERATOR), bed.http(bed.site.nodes["beta"].identity)
    asked = {
        shape(one)
        for one in (
            bed.http().get(UNKNOWN),
            bed.http().post(UNKNOWN + path, json=message),
            nobody.get(mine),
            nobody.get(UNKNOWN),
            nobody.post(mine + path, json=message),
            nobody.post(mine + path, content=b"x" * 10),
            forged.get(mine),
            rival.get(mine),
            rival.post(mine + path, json=message),
            owner.get(mine),
            owner.post(mine + path, content=b"{", headers={"content-type": "application/json"}),
            nobody.post(f"{BASE}/negotiations/request", content=b"{"),
            nobody.get(f"{BASE}/transfers/{row.id}"),
            bed.http().get(f"{BASE}/transfers/{row.id}"),
            bed.http().get(f"{BASE}/nothing/here"),
        )
    }
    assert len(asked) == 1
    assert asked.pop()[:2] == (404, b"")
    assert dsp.get(row).state == "REQUESTED"


def test_the_catalogue_answers_strangers_alike(bed: Bed, dsp: Contracts, offer: Offer) -> None:
    request = documents.root({"@type": "CatalogRequestMessage"})
    stranger, listed = bed.http(None), f"{BASE}/catalog/datasets/alpha%2Frecords"
    answers = {
        one.content
        for one in (
            stranger.post(f"{BASE}/catalog/request", json=request),
            stranger.get(listed),
            stranger.get(listed + "x"),
            bed.http().get(listed + "x"),
        )
    }
    assert len(answers) == 1
    check(json.loads(answers.pop()))


def test_the_catalogues_paths_answer_every_error_with_its_document(
    bed: Bed, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, client = f"{BASE}/catalog/request", bed.http()
    for answer, status in (
        (client.get(path), 405),
        (client.get(f"{BASE}/catalog/unheard"), 404),
        (client.delete(f"{BASE}/catalog/datasets/alpha%2Frecords"), 405),
    ):
        assert valid(answer, status)["@type"] == "CatalogError"

    def down(*_args: object) -> None:
        raise Unavailable("the registry cannot be read")

    monkeypatch.setattr(bed.site.governance.contracts.tokens, "identity", down)
    assert valid(client.get(f"{BASE}/catalog/datasets/x"), 503)["code"] == "503"
    answer = client.get(UNKNOWN)
    assert (answer.status_code, answer.content) == (503, b"")


def test_the_owner_may_look_but_not_speak_for_the_consumer(
    bed: Bed, dsp: Contracts, offer: Offer
) -> None:
    row = dsp.request(offer, consumerPid=pid(bed))
    owner = bed.http(dsp.owner.identity)
    assert valid(owner.get(f"{BASE}/negotiations/{row.id}"))["state"] == "REQUESTED"
    message = documents.process_message(
        "ContractNegotiationTerminationMessage", row.id, row.consumer_pid
    )
    assert owner.post(f"{BASE}/negotiations/{row.id}/termination", json=message).status_code == 404
    assert dsp.get(row).state == "REQUESTED"


def test_no_page_describes_the_service(bed: Bed) -> None:
    client = bed.http()
    for path in ("/", "/docs", "/redoc", "/openapi.json", f"{BASE}/negotiations/request/"):
        assert (client.get(path).status_code, client.get(path).content) == (404, b"")
    answer = client.delete(f"{BASE}/negotiations/request")
    assert (answer.status_code, answer.content) == (405, b"")
    assert "server" not in answer.headers


# -- bad input ------------------------------------------------------------------------------------

JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", JSON, 400),
        (b"null", JSON, 400),
        (b"[" * 50_000, JSON, 400),
        (b'{"a":' * 5_000, JSON, 400),
        (b'{"@type": "ContractRequestMessage"}', JSON, 400),
        (b'{"@type": "x", "@type": "y"}', JSON, 400),
        (b'{"consumerPid": "\\ud800"}', JSON, 400),
        (b" " * (MAX_BODY_BYTES + 1), JSON, 413),
        (b" " * (10 << 20), JSON, 413),
        (b"{}", {"content-type": "text/plain"}, 415),
        (b"{}", {}, 415),
    ],
    ids=lambda value: repr(value)[:24],
)
@pytest.mark.parametrize("subject", ["negotiations", "transfers", "catalog"])
def test_bad_bodies(
    bed: Bed, subject: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    size = bed.site.log.size
    answer = bed.http().post(f"{BASE}/{subject}/request", content=body, headers=headers)
    document = valid(answer, status)
    assert document["@type"].endswith("Error")
    assert document["code"] == str(status)
    assert bed.site.log.size == size


def test_an_error_names_the_consumers_pid_where_it_sent_one(bed: Bed) -> None:
    body = canonical_bytes({"consumerPid": "urn:uuid:me"})
    answer = bed.http().post(f"{BASE}/negotiations/request", content=body, headers=JSON)
    document = valid(answer, 400)
    assert (document["consumerPid"], document["providerPid"]) == ("urn:uuid:me", documents.NONE)
    assert "$." in document["reason"][0]


def test_a_body_that_does_not_come_is_not_waited_for(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_TIMEOUT_S", 0.2)
    context = ssl.create_default_context(cadata=bed.site.space.card.ca_pem)
    with (
        socket.create_connection(("127.0.0.1", bed.endpoint.port), timeout=5) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1") as tls,
    ):
        head = (
            f"POST {BASE}/negotiations/request HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            f"Content-Type: application/json\r\nAuthorization: Bearer {bed.token(CONSUMER)}\r\n\r\n"
        )
        tls.sendall(head.encode() + b"{")
        assert tls.recv(100).startswith(b"HTTP/1.1 408")


def test_a_log_that_cannot_be_written_is_503(
    bed: Bed, dsp: Contracts, offer: Offer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_args: object) -> None:
        raise Unavailable("nothing was decided: the disk is full")

    monkeypatch.setattr(bed.site.governance.contracts.negotiations, "request", down)
    message = documents.request_message(
        pid(bed), offer.to_json(), dsp.owner.product, callback=CALLBACK
    )
    document = valid(bed.http().post(f"{BASE}/negotiations/request", json=message), 503)
    assert document["reason"] == ["nothing was decided: the disk is full"]


def test_a_fault_of_ours_says_nothing(
    bed: Bed, offer: Offer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_args: object) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(bed.site.governance.contracts.negotiations, "get", broken)
    answer = bed.http().get(UNKNOWN)
    assert (answer.status_code, answer.content) == (500, b"")
    assert "ZeroDivisionError" in caplog.text


# -- the service ----------------------------------------------------------------------------------


def test_a_taken_port_is_named(bed: Bed) -> None:
    folder = bed.site.space.folder / "governance"
    with pytest.raises(ServerError, match=rf"{bed.address}: expected a free port"):
        serve_contracts(
            bed.site.governance.contracts,
            address=bed.address,
            certificate=folder / "tls.crt",
            key=folder / "tls.key",
            log_folder=bed.site.space.log_folder,
        )


def test_the_client_believes_the_spaces_ca_only(bed: Bed) -> None:
    other = create_ca("another", now=bed.site.now).certificate_pem.decode()
    with (
        ContractsClient(address=bed.address, ca_pem=other, token="x" * 43) as client,
        pytest.raises(GovernanceUnavailable, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.versions()


def test_the_client_reads_a_refusal(bed: Bed, dsp: Contracts, offer: Offer) -> None:
    with bed.consumer() as client:
        with pytest.raises(GovernanceRefused, match=r"offer\.@id"):
            client.request(pid(bed), offer, "beta/records")
        with pytest.raises(GovernanceRefused, match="not known there"):
            client.negotiation("urn:tdspace:negotiation:none")
        with pytest.raises(DocumentError, match="the offer unheard, got offer-"):
            published_offer(client.dataset(dsp.owner.product), "unheard")


# -- callbacks ------------------------------------------------------------------------------------


def test_who_may_be_called_is_told_of_each_step_of_the_provider(site: Site) -> None:
    dsp = Contracts(site)
    with callback_server() as (base, got):
        callbacks = site.governance.call_back({"consortium": base})
        row = dsp.request(dsp.publish(), callbackAddress=base + "/")
        row = dsp.verify(dsp.agree(row))
        wait_for(got, 2)
        transfer = dsp.transfer(str(row.agreement), callbackAddress=base + "/inner")
        run = site.open_run(agreements=[row.agreement])
        wait_for(got, 3)
        withdrawn = dsp.request(dsp.publish(), callbackAddress=base)
        dsp.counter_offer(withdrawn)
        dsp.end(withdrawn, "changed our mind")
        wait_for(got, 5)
        site.governance.runs.stop(CONSUMER, run)
        wait_for(got, 6)
        callbacks.close()
        callbacks.close()
    for _, message in got:
        check(message)
    assert [(path.replace(row.consumer_pid, "1"), m["@type"]) for path, m in got[:2]] == [
        ("/dsp/negotiations/1/agreement", "ContractAgreementMessage"),
        ("/dsp/negotiations/1/events", "ContractNegotiationEventMessage"),
    ]
    assert got[2][0] == f"/dsp/inner/transfers/{transfer.consumer_pid}/start"
    assert [path.rpartition("/")[2] for path, _ in got[3:]] == [
        "offers",
        "termination",
        "termination",
    ]
    assert got[4][1]["reason"] == ["changed our mind"]


@pytest.mark.parametrize(
    ("allowed", "asked"),
    [
        ({}, "{base}"),
        ({"rival": "{base}"}, "{base}"),
        ({"consortium": "{base}/inner"}, "{base}"),
        ({"consortium": "{base}"}, "{base}else"),
        ({"consortium": "{base}"}, "{base}@elsewhere.example/"),
        ({"consortium": "{base}/inner"}, "{base}/innermost"),
    ],
)
def test_nobody_else_is_called(site: Site, allowed: dict[str, str], asked: str) -> None:
    dsp = Contracts(site)
    with callback_server() as (base, got):
        bases = {name: text.format(base=base) for name, text in allowed.items()}
        callbacks = site.governance.call_back(bases)
        dsp.agree(dsp.request(dsp.publish(), callbackAddress=asked.format(base=base)))
        callbacks.close()
    assert got == []


def test_a_redirect_is_not_followed_and_a_fault_tried_twice(site: Site) -> None:
    dsp = Contracts(site)
    with callback_server(302, 503, 200) as (base, got):
        callbacks = site.governance.call_back({"consortium": base})
        callbacks._pause = lambda _s: None
        row = dsp.verify(dsp.agree(dsp.request(dsp.publish(), callbackAddress=base)))
        wait_for(got, 3)
        callbacks.close()
    assert [path.rpartition("/")[2] for path, _ in got] == ["agreement", "events", "events"]
    assert row.state == "FINALIZED"


def test_who_cannot_be_reached_holds_nothing_up(site: Site) -> None:
    dsp = Contracts(site)
    callbacks = site.governance.call_back({"consortium": "http://127.0.0.1:9/"})
    callbacks._pause = lambda _s: None
    row = dsp.request(dsp.publish(), callbackAddress="http://127.0.0.1:9/dsp")
    assert dsp.verify(dsp.agree(row)).state == "FINALIZED"
    callbacks.close()


def test_the_operators_file_says_who_may_be_called(tmp_path: Path, populated: Site) -> None:
    with copied(populated, tmp_path / "space") as site:
        assert site.space.config.callbacks == {}
