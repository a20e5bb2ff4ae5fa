"""Policy files (C2SP tlog-policy): one fault a vector, and who satisfies what."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from witness_site import LOG, ORIGIN, TIME, History, witness

from ledger.errors import PolicyRefused, ProofError, QuorumMissed
from ledger.note import NoteSigner
from ledger.tlogpolicy import MAX_POLICY_BYTES, Policy, format_policy, parse_policy

LOG_KEY = LOG.verifier_key
KEYS = {name: witness(n, f"{name}.example") for n, name in enumerate(["X1", "X2", "X3", "Y1"], 1)}
LINES = {name: f"witness {name} {key.verifier.text}\n" for name, key in KEYS.items()}
FOUR = "".join(LINES.values())
EXAMPLE = f"""# who must have seen it
log {LOG_KEY} https://logs.example/space

{FOUR}
  group X-witnesses 2 X1\tX2  X3
group Y-witnesses any Y1
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def parsed(text: str) -> Policy:
    return parse_policy(text.encode())


def of(*names: str) -> set[object]:
    return {KEYS[name].verifier for name in names}


@pytest.mark.parametrize(
    ("there", "satisfied"),
    [
        (["X1", "X2", "Y1"], True),
        (["X1", "X2", "X3", "Y1"], True),
        (["X1", "X2", "X3"], False),
        (["X1", "Y1"], False),
        ([], False),
    ],
)
def test_the_example_of_the_format(there: list[str], satisfied: bool) -> None:
    assert parsed(EXAMPLE).satisfied(of(*there)) is satisfied  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tail", "there", "satisfied"),
    [
        ("quorum none\n", [], True),
        ("quorum X1\n", ["X1"], True),
        ("quorum X1\n", ["X2"], False),
        ("group g 1 X1 X2\nquorum g\n", ["X2"], True),
        ("group g 2 X1 X2\nquorum g\n", ["X2"], False),
        ("group g all X1 X2\nquorum g\n", ["X1", "X2"], True),
        ("group all any X1 X2\nquorum all\n", ["X1"], True),
        ("group g any X1\nquorum X1\n", ["X1"], True),
    ],
)
def test_quorums(tail: str, there: list[str], satisfied: bool) -> None:
    assert parsed(FOUR + tail).satisfied(of(*there)) is satisfied  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "one quorum line, got none", id="empty"),
        pytest.param(FOUR, "one quorum line, got none", id="no-quorum"),
        pytest.param("quorum none\nquorum none\n", "line 2: .*second", id="two-quorums"),
        pytest.param("quorum none", "newline at the end", id="no-newline"),
        pytest.param("quorum X1\n" + FOUR, "line 1: .*line before", id="quorum-before"),
        pytest.param(FOUR + "quorum g\n", "line before", id="quorum-unknown"),
        pytest.param("quorum none none\n", "expected 'log", id="quorum-of-two"),
        pytest.param("Quorum none\n", "expected 'log", id="case"),
        pytest.param("quorum\u00a0none\n", "expected 'log", id="no-break-space"),
        pytest.param("quorum none\r\n", "byte 0d", id="crlf"),
        pytest.param("quorum none \x7f\n", "byte 7f", id="delete"),
        pytest.param("# \x00\nquorum none\n", "byte 00", id="nul-in-a-comment"),
        pytest.param(f"log {LOG_KEY}\n" * 2 + "quorum none\n", "line 2: .*twice", id="log-twice"),
        pytest.param(
            LINES["X1"] + LINES["X1"].replace("witness X1", "witness Z") + "quorum none\n",
            "twice",
            id="witness-twice",
        ),
        pytest.param(
            LINES["X1"] + f"witness Z {witness(1, 'z.example').verifier.text}\nquorum none\n",
            "twice",
            id="one-key-under-two-names",
        ),
        pytest.param(
            LINES["X1"] + LINES["X2"].replace("X2 ", "X1 ", 1) + "quorum none\n", "new name", id="n"
        ),
        pytest.param(LINES["X1"].replace("X1", "none", 1) + "quorum none\n", "new name", id="none"),
        pytest.param(f"log {KEYS['X1'].verifier.text}\nquorum none\n", "byte 1", id="log-type"),
        pytest.param(f"witness w {LOG_KEY}\nquorum none\n", "byte 4", id="witness-type"),
        pytest.param("log\nquorum none\n", "expected 'log", id="log-without-key"),
        pytest.param(f"log {LOG_KEY} url more\nquorum none\n", "expected 'log", id="log-of-four"),
        pytest.param("log x+1+y\nquorum none\n", "key x", id="bad-key"),
        pytest.param(FOUR + "group g any\nquorum g\n", "expected 'log", id="no-member"),
        pytest.param(FOUR + "group g 0 X1\nquorum g\n", "all, any or a decimal", id="k-0"),
        pytest.param(FOUR + "group g 3 X1 X2\nquorum g\n", "up to the 2", id="k-3-of-2"),
        pytest.param(FOUR + "group g 01 X1\nquorum g\n", "all, any or a decimal", id="k-01"),
        pytest.param(FOUR + "group g +1 X1\nquorum g\n", "all, any or a decimal", id="k-plus"),
        pytest.param(FOUR + "group g 1_0 X1\nquorum g\n", "all, any or a decimal", id="k-under"),
        pytest.param(FOUR + "group g -1 X1\nquorum g\n", "all, any or a decimal", id="k-minus"),
        pytest.param(FOUR + "group g \u0661 X1\nquorum g\n", "all, any", id="k-arabic"),
        pytest.param(FOUR + f"group g {'9' * 99} X1\nquorum g\n", "all, any", id="k-long"),
        pytest.param(FOUR + "group g any none\nquorum g\n", "line before", id="member-none"),
        pytest.param(FOUR + "group g any g\nquorum g\n", "line before", id="member-itself"),
        pytest.param(FOUR + "group g any h\ngroup h any X1\nquorum g\n", "line before", id="later"),
        pytest.param(FOUR + "group g any X1 X1\nquorum g\n", "one group", id="member-twice"),
        pytest.param(
            FOUR + "group g any X1\ngroup h any X1\nquorum g\n", "one group", id="in-two-groups"
        ),
        pytest.param(FOUR + "group X1 any X2\nquorum none\n", "new name", id="group-name-taken"),
        pytest.param("trust me\n", "expected 'log", id="another-word"),
        pytest.param("#" * MAX_POLICY_BYTES + "\n", "at most", id="too-large"),
    ],
)
def test_files_that_are_refused(text: str, message: str) -> None:
    with pytest.raises(PolicyRefused, match=message):
        parsed(text)


def many(count: int) -> str:
    keys = [witness(n % 250 + 1, f"w{n}") for n in range(min(count, 250))]
    lines = [f"witness w{n} {key.verifier.text}\n" for n, key in enumerate(keys)]
    logs = [
        NoteSigner(f"l{n}", Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)).verifier_key
        for n in range(count)
    ]
    groups = [f"group g{n} any w{n}\n" for n in range(count)]
    return "".join([*(f"log {key}\n" for key in logs), *lines, *groups, "quorum none\n"])


def test_thirty_two_of_each_are_taken() -> None:
    policy = parsed(many(32))
    assert (len(policy.logs), len(policy.witnesses), len(policy.groups)) == (32, 32, 32)


def test_more_groups_than_the_bound_are_refused() -> None:
    text = FOUR + "group h0 any X1\n" + "".join(f"group h{n} any h{n - 1}\n" for n in range(1, 300))
    with pytest.raises(PolicyRefused, match="at most 256 groups"):
        parsed(text + "quorum none\n")


def test_names_are_octets() -> None:
    kelvin, raw = "\u212a".encode(), b"\xff\xfe"
    lines = [LINES["X1"].encode().replace(b"X1", kelvin, 1), b"# \xff\n"]
    lines.append(LINES["X2"].encode().replace(b"X2", raw, 1))
    data = b"".join([*lines, LINES["X3"].encode().replace(b"X3", b"K", 1), b"quorum \xff\xfe\n"])
    policy = parse_policy(data)
    assert policy.satisfied(of("X2")) and not policy.satisfied(of("X1", "X3"))  # type: ignore[arg-type]
    assert parse_policy(format_policy(policy)) == policy
    with pytest.raises(PolicyRefused, match="line before"):
        parse_policy(b"quorum \xff\n")


@given(st.binary(max_size=200))
def test_no_octets_break_the_parser(data: bytes) -> None:
    try:
        policy = parse_policy(data)
    except PolicyRefused:
        return
    assert parse_policy(format_policy(policy)) == policy


HEAD = History(5).head(5)


def cosigned(*names: str) -> str:
    return HEAD + "".join(KEYS[name].cosign(HEAD, time=TIME) for name in names)


def test_a_checkpoint_opens_under_its_policy() -> None:
    policy = parsed(EXAMPLE)
    opened = policy.open(cosigned("X1", "X3", "Y1"))
    assert (opened.checkpoint.origin, opened.checkpoint.size) == (ORIGIN, 5)
    assert opened.witnesses == of("X1", "X3", "Y1")
    assert parsed("quorum none\n").open(HEAD, LOG.verifier).checkpoint.size == 5


def test_of_two_keys_of_a_log_either_may_sign() -> None:
    other = NoteSigner(ORIGIN, Ed25519PrivateKey.from_private_bytes(b"o" * 32))
    policy = parsed(f"log {other.verifier_key}\nlog {LOG_KEY}\nquorum none\n")
    for signer in (LOG, other):
        assert policy.open(History(5).head(5, signer)).checkpoint.size == 5


@pytest.mark.parametrize(
    ("note", "text", "error"),
    [
        pytest.param(cosigned("X1", "Y1"), EXAMPLE, QuorumMissed, id="too-few"),
        pytest.param(HEAD, EXAMPLE, QuorumMissed, id="none"),
        pytest.param(HEAD, "quorum none\n", ProofError, id="no-log"),
        pytest.param(
            HEAD + KEYS["X3"].cosign(History(5, "other").head(5), time=TIME),
            FOUR + f"log {LOG_KEY}\nquorum none\n",
            ProofError,
            id="a-wrong-one-though-nobody-is-asked-for",
        ),
        pytest.param("", EXAMPLE, ProofError, id="empty"),
    ],
)
def test_checkpoints_that_a_policy_refuses(note: str, text: str, error: type[ProofError]) -> None:
    with pytest.raises(error):
        parsed(text).open(note)
