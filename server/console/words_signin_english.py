"""English: the ways in, and withdrawals."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SIGNIN_ENGLISH: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sign-in-link": "Or with a link",
        "certificate-with": "With your certificate",
        "certificate-as": "Your browser has shown the certificate of {role} {name}.",
        "certificate-do": "Sign in with your certificate",
        "certificate-none": "certificate: expected one of this space's participants on this "
        "connection, got none; import it into the browser and open the page again",
        "certificate-how": "A browser that holds an enrolled certificate is offered to sign in "
        "with it. Put key and certificate into a file, import it into your browser, delete the "
        "file, and open this page again:",
        "oidc": "With your organisation's account",
        "oidc-how": "Your organisation's sign-in page says who you are; the operator has laid down "
        "whom each account is here.",
        "oidc-do": "Sign in at {provider}",
        "oidc-as": "{provider} vouches for you. Here you are: {role} {name}.",
        "oidc-void": "This way in is not open (any more): it was begun in another browser, or more "
        "than ten minutes ago. Begin again.",
        "oidc-refused": "The sign-in page let nobody in ({code}).",
        "withdraw": "Withdraw consent",
        "withdrawn-in": "consent withdrawn in entry {index}",
        "withdraw-ask": "Withdraw your consent to the use of {product} by {consumer}?",
        "withdraw-for-good": "It is for good: it ends the whole agreement, for every run. To allow "
        "the use again, you sign a new agreement.",
        "withdraw-now": "A use that is under way ends: your node stops the app, and its result "
        "does not leave.",
        "withdraw-rounds": "Runs go on without your product from the next round on, if enough "
        "others are left.",
        "withdraw-kept": "What a model learnt in rounds that are over stays in it.",
        "withdraw-do": "Yes, withdraw it now, for good",
        "withdraw-signed": "Your node signed this withdrawal when it made your link; this button "
        "files it in the log in your name.",
        "withdraw-unsigned": "A withdrawal has to be signed by your node's key, which never leaves "
        "it, and this session has none for this agreement: the agreement is newer than your link, "
        "or you signed in without one, or read-only.",
        "withdraw-stale": "The withdrawal that your node signed in advance no longer fits the key "
        "that the space knows. Make a new link, or withdraw on your node's machine: tds node "
        "withdraw",
        "withdraw-there": "Withdraw on your node's machine:",
        "withdraw-link": "Or sign in with a new link, which brings one for each agreement that "
        "stands now:",
        "withdraw-done": "Consent to the use of {product} is withdrawn, in entry {index} of the "
        "log.",
        "effect-under-at-work": "the use that was under way is being ended",
        "effect-under-received": "the reply of the round that was under way had come before",
        "effect-under-left-out": "the use that was under way was left out",
        "effect-under-no-reply": "of the use that was under way nothing came",
        "effect-round": "round {n} was decided without your product, in entry {index}",
        "effect-evaluation": "the evaluation was decided without your product, in entry {index}",
        "effect-waits": "waiting for its next round",
        "effect-ended": "it has ended",
    }
)
