"""torch's compiler, imported when an app compiles and not before.

At the first use of any optimizer torch 2.13 imports `torch._dynamo`, some 800 modules: a second and
70 MB, for two things that matter only while something is being compiled. `torch/_compile.py` asks
for `disable(function, …)`, a variant of a function that the compiler leaves alone, and
`torch/optim/optimizer.py` calls `graph_break()`, which tells the compiler to pause. Few apps
compile. So the zygote puts a stand-in where torch looks, which answers these two questions as if
nothing were compiled (true as long as it stands there) and brings in the real module for anything
else. Should torch come to ask for more, all that is lost is the second and the memory.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

COMPILER: Final = "torch._dynamo"


def defer_compiler() -> None:
    """Optimizers no longer import `torch._dynamo`; whatever compiles still does.

    Does nothing where torch is not imported, or its compiler is already.
    """
    torch = sys.modules.get("torch")
    if torch is None or COMPILER in sys.modules:
        return
    spec = importlib.util.find_spec(COMPILER)
    if spec is not None:
        stand_in = _StandIn(COMPILER)
        stand_in.__file__ = spec.origin
        sys.modules[COMPILER] = stand_in
        torch.__dict__["_dynamo"] = stand_in


class _StandIn(types.ModuleType):
    """`torch._dynamo` as long as nothing is compiled."""

    def graph_break(self, msg: str = "") -> None:
        """There is nothing to pause."""

    def disable(self, fn: Any = None, *args: Any, **options: Any) -> Any:
        """`fn` itself, and from the moment that the compiler is there, the compiler's variant."""
        if not isinstance(fn, types.FunctionType):
            return _compiler().disable(fn, *args, **options)
        variant: Callable[..., Any] | None = None

        @wraps(fn)
        def undisturbed(*values: Any, **named: Any) -> Any:
            nonlocal variant
            if sys.modules.get(COMPILER) is self:
                return fn(*values, **named)
            if variant is None:
                variant = _compiler().disable(fn, *args, **options)
            return variant(*values, **named)

        # How the compiler, once there, sees that it must not look into a function.
        undisturbed.__dict__["_torchdynamo_disable"] = True
        return undisturbed

    def __getattr__(self, name: str) -> Any:
        return getattr(_compiler(), name)


def _compiler() -> Any:
    """The real module, from now on where torch looks."""
    if isinstance(sys.modules.get(COMPILER), _StandIn):
        del sys.modules[COMPILER]
        del sys.modules["torch"].__dict__["_dynamo"]
    return importlib.import_module(COMPILER)
