"""What an exception in a task becomes when it travels: a code and a fixed sentence.

Refusals are read by the consumer and stand in logs. Product, vault and bundle errors name files of
the owner's machine, and an unexpected exception may quote anything: their own words go to the local
logger only. What an app's failure or egress says holds no value of the data and no path: their
classes promise it (clients.errors).
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from clients.errors import (
    AppFailed,
    AppTimeout,
    BundleError,
    ClientError,
    ConsentError,
    EgressRefused,
    EnvironmentRefused,
    GateRefused,
    ProductError,
    VaultError,
    refused,
)
from ledger.errors import LedgerError
from policies.wire import Refusal, RefusalCode

LOGGER = logging.getLogger(__name__)

_WHERE: Final = "; its owner finds the reason on the node"

# The text of these travels as it is.
_TELLING: Final[Mapping[type[Exception], RefusalCode]] = MappingProxyType(
    {AppTimeout: "app-timeout", AppFailed: "app-failed", EgressRefused: "egress-refused"}
)


def refusal(code: RefusalCode, text: str) -> Refusal:
    """A refusal, cut to what can travel."""
    return refused(code, text).refusal


def explain(error: Exception, *, product: str = "", app: str = "") -> Refusal:
    """The refusal that an exception stands for; what may not travel is logged here.

    Args:
        product, app: what the task used, for the sentences that name it.
    """
    if isinstance(error, GateRefused):
        return error.refusal
    code = _TELLING.get(type(error))
    if code is not None:
        return refusal(code, str(error))
    if isinstance(error, ClientError | LedgerError):
        LOGGER.error("a task could not be done: %s", error)
        return _fixed(error, product=product, app=app)
    frame = traceback.extract_tb(error.__traceback__)[-1]
    name = type(error).__name__
    LOGGER.error("a task failed: %s at %s:%s", name, frame.filename, frame.lineno)
    return refusal("node-unavailable", f"the node failed unexpectedly ({name})")


def _fixed(error: ClientError | LedgerError, *, product: str, app: str) -> Refusal:
    if isinstance(error, VaultError):
        text = f"the data of product {product} cannot be used as it lies there"
        return refusal("product-unreadable", text + _WHERE)
    if isinstance(error, ConsentError):
        text = f"the consents of product {product} cannot be read as they lie there"
        return refusal("product-unreadable", text + _WHERE)
    if isinstance(error, ProductError):
        text = f"the product file of product {product} is not there as it was registered"
        return refusal("product-unreadable", text + _WHERE)
    if isinstance(error, BundleError):
        text = f"the bundle of app {app} is not there as it was approved"
        return refusal("app-failed", text + _WHERE)
    if isinstance(error, EnvironmentRefused):
        text = f"the packages of app {app} are not there as it was approved with them"
        return refusal("app-failed", text + _WHERE)
    return refusal("node-unavailable", "the node cannot work at the moment" + _WHERE)
