"""Files to hand in: good ones, and one fault each."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands_site import PRODUCT, write_product

import policies

PROFILE = (Path(policies.__file__).parent / "profile.md").read_text(encoding="utf-8")


def profile_agreement() -> str:
    """The worked example of policies/profile.md."""
    found = re.search(r"```json agreement\n(.*?)```", PROFILE, re.DOTALL)
    assert found, "profile.md has no agreement"
    return found[1]


def request(at: str = "2026-06-01T00:00:00Z", **changes: Any) -> dict[str, Any]:
    """What the worked example permits, with changes; `action` and `assignee` go to the top."""
    asked = {
        key: changes.pop(key, value)
        for key, value in {
            "assignee": "consortium",
            "action": "train",
            "target": "urn:tds:product:clinic-a:ecg:1",
        }.items()
    }
    context = {
        "purpose": "diagnosis-support",
        "count": 1,
        "minParticipants": 3,
        "spatial": "CN-GD",
    }
    return {**asked, "at": at, "context": context | changes}


def changed(change: Callable[[dict[str, Any]], object]) -> str:
    """The worked example with one change."""
    document = json.loads(profile_agreement())
    change(document)
    return json.dumps(document)


def product(**changes: Any) -> str:
    return json.dumps({**PRODUCT, **changes})


def columns(*names: str, kind: str = "float") -> list[dict[str, str]]:
    features = [{"name": name, "type": kind, "role": "feature"} for name in names]
    return [*features, {"name": "diagnosis", "type": "string", "role": "label"}]


def expired(join: str) -> str:
    return json.dumps({**json.loads(join), "expires": "2020-01-01T00:00:00.000Z"})


def write_inputs(desk: Path) -> None:
    """All of them, beside a space and a node."""
    write_product(desk / "data")
    files = {
        "agreement.json": profile_agreement(),
        "request.json": json.dumps(request()),
        "no-json.json": "{",
        "a-list.json": "[]",
        "twice.json": '{"@id": "a", "@id": "b"}',
        "float.json": changed(lambda d: d.update(target=0.5)),
        "unknown-key.json": changed(lambda d: d["permission"][0].update(remedy=[])),
        "bad-operand.json": changed(
            lambda d: d["permission"][0]["constraint"][2].update(leftOperand="mood")
        ),
        "bare-integer.json": changed(
            lambda d: d["permission"][0]["constraint"][2].update(rightOperand=50)
        ),
        "no-conflict.json": changed(lambda d: d.pop("conflict")),
        "huge.json": " " * 70_000,
        "data/unknown-field.json": product(colour="red"),
        "data/no-field.json": json.dumps({k: v for k, v in PRODUCT.items() if k != "classes"}),
        "data/core.json": product(classification="core"),
        "data/elsewhere.json": product(path="../secret.csv"),
        "data/no-data.json": product(path="gone.csv"),
        "data/no-column.json": product(columns=columns("radius", "texture")),
        "data/wrong-type.json": product(columns=columns("radius", kind="integer")),
        "data/one-class.json": product(classes=["malignant", "other"]),
        "old.join": expired((desk / "next.join").read_text(encoding="utf-8")),
        "bad.join": '{"version": 1}',
        "key.txt": "no key\n",
        "fake.fab": "no zip",
    }
    for name, text in files.items():
        (desk / name).write_text(text, encoding="utf-8")
    (desk / "full").mkdir()
    (desk / "full" / "mine.txt").write_text("mine", encoding="utf-8")
