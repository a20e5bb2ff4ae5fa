"""A memory changes nothing: the same reports as without one, byte for byte."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from policies_generator import agreement as some_agreement
from policies_generator import law as some_law
from policies_generator import request, state

from policies.canonical import canonical_bytes
from policies.evaluate import evaluate
from policies.memory import Memory


@given(st.integers(0, 2**32))
@settings(max_examples=60)
def test_random_policies_in_random_states(seed: int) -> None:
    random, remembering = Random(seed), Memory()
    agreements = [some_agreement(random) for _ in range(3)]
    laws = [(), (some_law(random),)]
    for _ in range(12):
        asked, wish, law = random.choice(agreements), request(random), random.choice(laws)
        known = state(random, asked)
        for _ in range(2):  # the second time from memory alone
            expected = evaluate(asked, wish, known, baseline=law)
            found = remembering.evaluate(asked, wish, known, baseline=law)
            assert found == expected
            assert found.document() == canonical_bytes(expected.to_json())
            assert found.reasons() == expected.reasons()
