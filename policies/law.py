"""The baseline: policies of the space that no offer and no agreement can switch off.

They say what the law of a space's place asks for, as prohibitions in the same profile, each with
its legal source. They are data: a space elsewhere replaces them by its own (`policies/baseline/`
holds the ones for mainland China). A baseline prohibition that is satisfied **or unknown** denies.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.canonical import Json, canonical_bytes, digest_of
from policies.errors import DocumentError
from policies.intake import CONTEXT, LawDocument, read_document, read_rules
from policies.operands import PROFILE
from policies.rules import Rule, rules_to_json

MAX_DOCUMENTS = 64


@dataclass(frozen=True, slots=True)
class Baseline:
    """One law as a policy.

    Attributes:
        name: short, for reason codes: `core-data` gives `law-core-data`.
        title, version, source, comment: for people; `source` names the legal text.
        title_zh, source_zh: title and source in Chinese; "" where they are Chinese already, or
            nobody has written them.
        digest: SHA-256 of the normal form; derived.
    """

    id: str
    name: str
    title: str
    version: str
    source: str
    comment: str
    prohibitions: tuple[Rule, ...]
    title_zh: str = ""
    source_zh: str = ""
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", digest_of(self.to_json()))

    def to_json(self) -> dict[str, Json]:
        """The policy in normal form; `parse_baseline` reads it back as an equal one."""
        chinese = {"titleZh": self.title_zh, "sourceZh": self.source_zh}
        return {
            "@context": [CONTEXT],
            "@id": self.id,
            "@type": "Set",
            "profile": PROFILE,
            "conflict": "prohibit",
            "name": self.name,
            "title": self.title,
            "version": self.version,
            "source": self.source,
            "comment": self.comment,
            **{key: text for key, text in chinese.items() if text},
            **rules_to_json((), self.prohibitions),
        }


def parse_baseline(data: bytes) -> Baseline:
    """A baseline policy from JSON as people write it; prohibitions only.

    Raises:
        DocumentError: anything the profile does not know, a permission or an obligation; with the
            JSON path of the place.
    """
    document = read_document(LawDocument, data)
    for key, found in (("permission", document.permission), ("obligation", document.obligation)):
        if found:
            raise DocumentError(f"$.{key}", "prohibitions only in a baseline", f"a {key}")
    _, prohibitions = read_rules(document)
    return Baseline(
        id=document.id,
        name=document.name,
        title=document.title,
        version=document.version,
        source=document.source,
        comment=document.comment,
        prohibitions=prohibitions,
        title_zh=document.title_zh,
        source_zh=document.source_zh,
    )


def parse_baselines(documents: Iterable[bytes]) -> tuple[Baseline, ...]:
    """A space's whole baseline, sorted by name.

    Raises:
        DocumentError: as `parse_baseline`, a name twice, or more than `MAX_DOCUMENTS`.
    """
    found = sorted((parse_baseline(data) for data in documents), key=lambda law: law.name)
    if len(found) > MAX_DOCUMENTS:
        raise DocumentError("$", f"at most {MAX_DOCUMENTS} baseline policies", str(len(found)))
    names = [law.name for law in found]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DocumentError("$.name", "each name once in a baseline", f"{twice!r} twice")
    return tuple(found)


def baseline_digest(baseline: Iterable[Baseline]) -> str:
    """SHA-256 over the digests of a baseline's policies, in the order of their names."""
    return digest_of([law.digest for law in sorted(baseline, key=lambda law: law.name)])


def baseline_bytes(law: Baseline) -> bytes:
    """The normal form as bytes, as the log keeps it."""
    return canonical_bytes(law.to_json())
