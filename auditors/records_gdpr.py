"""Records of processing activities, as Article 30 GDPR asks for (Regulation (EU) 2016/679)."""

from __future__ import annotations

from auditors import records_values as values
from auditors.page import Block, Note, Points, Section
from auditors.records_drawn import Drawn


def sections(drawn: Drawn) -> list[Section]:
    """A record for each owner of data, and one for the operator of the space."""
    owners = drawn.owners()
    found = [_controller(drawn, owner, n) for n, owner in enumerate(owners)]
    if not owners:
        note = Note(text=drawn("gdpr-none"))
        found.append(Section(id="none", title=drawn("gdpr-controller", who="-"), blocks=[note]))
    return [*found, _processor(drawn, owners), _use(drawn)]


def _controller(drawn: Drawn, owner: str, number: int) -> Section:
    places = drawn.of_owner
    transfers = [text for _, text in values.transfers(drawn, owner)]
    items = (
        ("a", [drawn.party(owner)], places(owner, "ParticipantEnrolled")),
        ("b", values.purposes(drawn, owner), places(owner, "RunOpened", "ReceiptAccepted")),
        ("c", values.categories(drawn, owner), places(owner, "ProductRegistered")),
        ("d", values.recipients(drawn, owner), places(owner, "AgreementConcluded")),
        ("e", transfers, places(owner, "ProductRegistered", "AgreementConcluded")),
        (
            "f",
            values.endings(drawn, owner),
            places(owner, "AgreementConcluded", "ConsentWithdrawn", "DisclosureErased"),
        ),
        ("g", values.measures(drawn, owner), places(owner, "ReceiptAccepted")),
    )
    blocks: list[Block] = [Note(text=drawn("gdpr-controller-note"))]
    for letter, found, source in items:
        basis = f"Article 30(1)({letter})" + (", Article 32(1)" if letter == "g" else "")
        what = f"gdpr-{letter}-what"
        made = drawn.field(f"gdpr-{letter}", basis, found, source, by="the-controller", what=what)
        blocks.append(made)
    title = drawn("gdpr-controller", who=drawn.show.name(owner))
    return Section(id=f"controller-{number + 1}", title=title, blocks=blocks)


def _processor(drawn: Drawn, owners: list[str]) -> Section:
    by = {"by": "the-processor"}
    document = drawn.document
    operators = [one for one in document["participants"] if one["role"] == "operator"]
    parties = [drawn.party(one["participant"]) for one in operators]
    processing = [
        drawn(
            "gdpr-p-b-value",
            app=drawn.show.app(run["app"]),
            **{name: run[name] for name in ("purpose", "decisions", "permits", "closed")},
        )
        for run in document["runs"]
    ]
    transfers = [text for owner in owners for _, text in values.transfers(drawn, owner)]
    blocks: list[Block] = [
        Note(text=drawn("gdpr-processor-note")),
        drawn.field(
            "gdpr-p-a",
            "Article 30(2)(a)",
            [*parties, *(drawn.party(owner) for owner in owners)],
            drawn.entries("ParticipantEnrolled", document["participants"]),
            what="gdpr-p-a-what",
            **by,
        ),
        drawn.field(
            "gdpr-p-b",
            "Article 30(2)(b)",
            processing,
            drawn.entries("RunOpened", document["runs"]),
        ),
        drawn.field(
            "gdpr-e",
            "Article 30(2)(c)",
            transfers,
            drawn.entries("ProductRegistered", document["products"]),
            what="gdpr-p-c-what",
            **by,
        ),
        drawn.field(
            "gdpr-g",
            "Article 30(2)(d), Article 32(1)",
            values.measures(drawn),
            drawn.entries("RunOpened", document["runs"]),
            what="gdpr-g-what",
            **by,
        ),
    ]
    return Section(id="processor", title=drawn("gdpr-processor"), blocks=blocks)


def _use(drawn: Drawn) -> Section:
    points = Points(items=[drawn(f"gdpr-use-{n}") for n in (1, 2, 3)])
    return Section(id="use", title=drawn("gdpr-use"), blocks=[points])
