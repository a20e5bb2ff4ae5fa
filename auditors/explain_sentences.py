"""What an entry says, in sentences, from its body alone: one function for each type."""

from __future__ import annotations

from auditors.explain_registers import REGISTERS
from auditors.explain_rounds import ROUNDS
from auditors.explain_say import Say
from policies.entries import Entry


def sentences(entry: Entry, say: Say) -> list[str]:
    """What the entry says; the first sentence says it in short.

    Raises:
        lines.MALFORMED: a body in another form than governance writes.
    """
    tell = REGISTERS.get(entry.type) or ROUNDS.get(entry.type)
    return [say("other", type=entry.type)] if tell is None else list(tell(say, entry.body))
