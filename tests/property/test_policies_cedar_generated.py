"""Ten thousand generated policies, of which our evaluator and Cedar say the same.

Apart from the other comparisons with Cedar: those count for coverage, which would make this one
two to three times as long and find no further line.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import policies_generator as generate
from cedar_check import agree

from policies.evaluate import Effect

POLICIES = 10_000


def one_by_seed(seed: int) -> Effect:
    random = Random(seed)
    agreement = generate.agreement(random)
    laws = (generate.law(random),) if random.random() < 0.2 else ()
    return agree(agreement, generate.request(random), generate.state(random, agreement), laws)


def test_ten_thousand_generated_policies_are_decided_alike() -> None:
    found: Counter[Effect] = Counter()
    for seed in range(POLICIES):
        try:
            found[one_by_seed(seed)] += 1
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
    assert min(found[Effect.PERMIT], found[Effect.DENY]) > POLICIES / 10
