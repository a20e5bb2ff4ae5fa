"""The run config that Flower passes to an app, in a form that can be hashed.

Flower's run config is flat and holds booleans, integers, floats and strings. It is **not** covered
by the app bundle's hash, so the permit binds it (`PermitBody.config`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, TypeVar

from policies.canonical import Json, digest_of
from policies.errors import DocumentError

ConfigValue = bool | int | float | str

SEED: Final = "seed"
SEEDS: Final = 1 << 31
Value = TypeVar("Value")


def config_to_json(config: Mapping[str, ConfigValue]) -> dict[str, Json]:
    """Floats become `{"float": repr}`, which round-trips exactly; the rest stays.

    Raises:
        DocumentError: another type, or a float that is not finite.
    """
    result: dict[str, Json] = {}
    for key, value in config.items():
        if isinstance(value, bool | int | str):
            result[key] = value
        elif isinstance(value, float) and math.isfinite(value):
            # Not repr(): numpy's float64 is a float whose repr is no number.
            result[key] = {"float": float.__repr__(value)}
        else:
            raise DocumentError(
                f"$.{key}", "a boolean, integer, finite float or string", repr(value)[:60]
            )
    return result


def config_from_json(value: Mapping[str, Json]) -> dict[str, ConfigValue]:
    """The inverse of `config_to_json`; a float in that one spelling only.

    Raises:
        DocumentError: another type, or another spelling of a float.
    """
    result: dict[str, ConfigValue] = {}
    for key, item in value.items():
        if isinstance(item, dict):
            text = item.get("float")
            try:
                number = float(text) if isinstance(text, str) else math.nan
            except ValueError:
                number = math.nan
            if len(item) != 1 or not math.isfinite(number) or repr(number) != text:
                raise DocumentError(f"$.{key}", '{"float": "0.1"}', repr(item)[:60])
            result[key] = number
        elif isinstance(item, bool | int | str):
            result[key] = item
        else:
            raise DocumentError(f"$.{key}", "a config value", repr(item)[:60])
    return result


def config_digest(config: Mapping[str, ConfigValue]) -> str:
    """What the permit carries: SHA-256 over the canonical form."""
    return digest_of(config_to_json(config))


def with_seed(
    config: Mapping[str, Value], defaults: Mapping[str, object], seed: int
) -> dict[str, Value | int]:
    """The overrides of a run's config, with a seed where its app has one and they have none.

    Of one model no two sums are opened whose cohorts differ by a single enterprise
    (`policies.release.told_apart`). Runs that all begin with the app's own seed begin with one
    model: once an enterprise is gone, or has come, no round of a later run would have a result.

    Args:
        defaults: the app's own config.
        seed: drawn for this run; of it, `SEEDS` values count.
    """
    if type(defaults.get(SEED)) is int and SEED not in config:
        return {**config, SEED: seed % SEEDS}
    return {**config}
