"""Bearer tokens: bound, short-lived, few, and kept as hashes."""

from __future__ import annotations

import sqlite3

import pytest
from server_site import CONSUMER, OPERATOR, Site

from server.dsp.tokens import MAX_TOKENS, VALID, Tokens
from server.errors import NotKnown


@pytest.fixture
def tokens(site: Site) -> Tokens:
    return site.governance.contracts.tokens


def refused(tokens: Tokens, header: str) -> str:
    with pytest.raises(NotKnown) as caught:
        tokens.identity(header)
    return str(caught.value)


def test_a_token_names_whom_it_was_given_to(site: Site, tokens: Tokens) -> None:
    for caller in (CONSUMER, OPERATOR, site.nodes["alpha"].identity):
        token, _ = tokens.issue(caller)
        assert tokens.identity(f"Bearer {token}") == caller


def test_it_expires(site: Site, tokens: Tokens) -> None:
    token, _ = tokens.issue(CONSUMER)
    site.tick(VALID.total_seconds() - 0.001)
    tokens.identity(f"Bearer {token}")
    site.tick(0.001)
    refused(tokens, f"Bearer {token}")


def test_whatever_is_wrong_the_text_is_one(site: Site, tokens: Tokens) -> None:
    old, _ = tokens.issue(CONSUMER)
    site.tick(VALID.total_seconds())
    token, _ = tokens.issue(CONSUMER)
    headers = ["", "Bearer", "Bearer ", f"bearer {token}", token, f"Bearer {token} "]
    headers += [f"Bearer {old}", f"Bearer {'A' * 43}", f"Bearer {token[:-1]}", f"Basic {token}"]
    headers += [f"Bearer {token}\n", "Bearer " + "é" * 43, f"Bearer {token},Bearer {token}"]
    assert len({refused(tokens, header) for header in headers}) == 1
    tokens.identity(f"Bearer {token}")


def test_the_newest_ones_count(site: Site, tokens: Tokens) -> None:
    mine, _ = tokens.issue(site.nodes["alpha"].identity)
    issued = []
    for _ in range(MAX_TOKENS + 1):
        issued.append(tokens.issue(CONSUMER)[0])
        site.tick(1)
    refused(tokens, f"Bearer {issued[0]}")
    for token in issued[1:]:
        tokens.identity(f"Bearer {token}")
    tokens.identity(f"Bearer {mine}")


def test_a_new_one_always_counts(site: Site, tokens: Tokens) -> None:
    for _ in range(3 * MAX_TOKENS):
        token, _ = tokens.issue(CONSUMER)
        tokens.identity(f"Bearer {token}")


def test_it_is_kept_as_a_hash_and_logged_nowhere(site: Site, tokens: Tokens) -> None:
    size = site.log.size
    token, _ = tokens.issue(CONSUMER)
    assert site.log.size == size
    with sqlite3.connect(site.space.database) as database:
        kept = [str(row) for row in database.execute("SELECT * FROM tokens")]
    database.close()
    assert len(kept) == 1
    assert token not in kept[0]


def test_a_token_of_who_is_no_longer_active_is_none(site: Site, tokens: Tokens) -> None:
    token, _ = tokens.issue(CONSUMER)
    with sqlite3.connect(site.space.database) as database:
        database.execute("UPDATE participants SET active = 0 WHERE id = 'consortium'")
    database.close()
    refused(tokens, f"Bearer {token}")
