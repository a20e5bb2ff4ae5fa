"""The profile as tables: actions, operators and left operands are rows, and nothing else is known.

An operand, operator or action without a row here is refused at intake (`policies.intake`), so that
no constraint is ever dropped silently. To extend the profile, add a row and a line to `profile.md`.

Every name that a user of the tables needs can be imported from here, wherever it is defined.
"""

from __future__ import annotations

from policies.actions import (
    ACTIONS,
    COVERS,
    FULFILLED,
    ODRL,
    OPERATORS,
    PENDING,
    PROFILE,
    VIOLATED,
)
from policies.left_operands import OPERANDS
from policies.outcomes import LOGIC, Outcome, all_of, any_of, negate, one_of
from policies.relations import ENVIRONMENTS, PURPOSES, Purposes, Relation
from policies.rows import Action, Kind, Operand, Operator, Stage
from policies.values import (
    MAX_NAME,
    MAX_VALUES,
    XSD,
    Right,
    is_name,
    parse_datetime,
    parse_right,
    right_to_json,
)

__all__ = [
    "ACTIONS",
    "COVERS",
    "ENVIRONMENTS",
    "FULFILLED",
    "LOGIC",
    "MAX_NAME",
    "MAX_VALUES",
    "ODRL",
    "OPERANDS",
    "OPERATORS",
    "PENDING",
    "PROFILE",
    "PURPOSES",
    "VIOLATED",
    "XSD",
    "Action",
    "Kind",
    "Operand",
    "Operator",
    "Outcome",
    "Purposes",
    "Relation",
    "Right",
    "Stage",
    "all_of",
    "any_of",
    "is_name",
    "negate",
    "one_of",
    "parse_datetime",
    "parse_right",
    "right_to_json",
]
