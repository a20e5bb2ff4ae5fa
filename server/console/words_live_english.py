"""Words of the pages that follow something (space, runs) in English."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LIVE_ENGLISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        # following
        "follow-off": "This page does not follow by itself here (no script); open it again to see "
        "more.",
        "follow-lost": "The connection is lost since {time}: what stands here may be old. Trying "
        "again by itself.",
        "follow-out": "You are no longer signed in, so this page stands still. Sign in again, in "
        "another tab if you like: it then goes on.",
        "follow-gone": "This is no longer yours to see.",
        "live-space": "This page follows the space by itself.",
        # the space
        "up-cosigned": "connected, cosigned",
        "seen": "last seen {time}",
        "replied": "last took part {time}",
        "unseen": "not seen yet",
        "log-entries": "{n} entries",
        "log-cosigners": "head cosigned by {n} of {all}",
        # a run
        "run-late": "the round's permit has ended and the round is open: no late reply is "
        "accepted, and its ServerApp has to ask again (tds run resume, if it is gone)",
        "run-newest": "Newest step: {time} UTC.",
        "run-bytes": "{size} of masked updates received",
        "outcome-waits": "permitted, waits for witnesses",
        "outcome-overdue": "permitted, no reply in time",
        "outcome-counted": "in the result",
        "under-way": "At work",
        "lanes-key": "Permitted, at work: the permit is handed out and nothing came back yet; "
        "when the app begins is known to the node alone. Received: its receipt was checked. In "
        "the result: received, and its update is in the sum.",
        "chart-spent": "ε spent",
        "spent": "ε so far",
        "bytes": "Updates",
        "bytes-note": "Updates: masked vectors as the permits state them, of each accepted "
        "receipt; without the receipts themselves (about 2 kB each) and the model sent out.",
        "bytes-unknown": "Updates of this run are not masked: they pass the SuperLink only, and "
        "governance sees neither them nor their size.",
        "start-purposes": "Purposes that these agreements name: {all}",
        "code-not-opened": "the masks were opened without it",
    }
)
