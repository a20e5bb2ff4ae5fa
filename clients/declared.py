"""What an app declares, in its pyproject.toml: its model and what may leave, before it ever ran.

    [tool.tdspace]
    max-bytes = 20000                          # of all arrays, as they travel

    [tool.tdspace.arrays]                      # its model has all of these, and no others
    "layer.weight" = {shape = [32, "any"], type = "float32"}
    "layer.bias" = {shape = [32], type = "float32"}

    [tool.tdspace.metrics]                     # names and ranges: these, no others
    train_loss = {least = 0, most = 1000}
    eval_accuracy = {least = 0, most = 1}

Each of the three may be left out, and bounds nothing then; `metrics` may also be a list of names,
of any value that egress lets out. A declaration only ever takes away: whatever it says, an update
has the form of the run's incoming model, and only those figures leave that the permit names. The
node holds an app to it (clients.egress); `tds app show` tells the owner before approving.

`arrays` pins the model as well: an incoming model that has others, or lacks one, is refused before
the app sees a row (clients.work). The app is the code, but what its training tells of a row is also
the model's doing: layers that a run's consumer put into it can hold single rows apart, even in a
sum over many enterprises (Fowl et al., Robbing the Fed, ICLR 2022). A dimension of "any" leaves the
consumer a choice; write the number where the app allows only one.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from clients.errors import BundleError, EgressRefused
from clients.figures import LARGEST, spellings
from policies.canonical import Json
from policies.errors import DocumentError
from policies.fields import Document, Id
from policies.tensors import Tensor

MAX_ARRAYS: Final = 4096
ANY: Final = "any"
"""A dimension that the run's model decides."""

_Dimension = Annotated[int, Field(ge=0, le=2**31)] | Literal["any"]
_Number = Annotated[int | float, Field(allow_inf_nan=False)]


class ArrayForm(Document):
    """An array that may leave."""

    shape: Annotated[list[_Dimension], Field(max_length=16)]
    type: Literal["float16", "float32", "float64", "int32", "int64", "uint8", "bool"]

    def holds(self, array: Tensor) -> bool:
        """Whether an array is of this form."""
        return (
            array.dtype.name == self.type
            and len(array.shape) == len(self.shape)
            and all(one in (ANY, size) for one, size in zip(self.shape, array.shape, strict=True))
        )


class Range(Document):
    """A figure's range, both ends included, after rounding."""

    least: _Number
    most: _Number

    @property
    def bounds(self) -> tuple[Decimal, Decimal]:
        """Both ends as they were written."""
        return Decimal(str(self.least)), Decimal(str(self.most))


class Declaration(Document):
    """See the module.

    Attributes:
        arrays, metrics: by name; None where the app does not say. A figure without a range is None.
        max_bytes: of the packed arrays; None where it does not say.
    """

    arrays: Annotated[dict[str, ArrayForm], Field(max_length=MAX_ARRAYS)] | None = None
    metrics: Annotated[dict[Id, Range | None], Field(max_length=100)] | None = None
    max_bytes: Annotated[int, Field(ge=0, le=2**40)] | None = None

    def misfit(self, model: Mapping[str, Tensor]) -> str:
        """In what a model's arrays are not the declared ones; "" where they are.

        Names, shapes and types only: nothing of it depends on a row.
        """
        if self.arrays is None:
            return ""
        lacking = sorted(self.arrays.keys() - model.keys())
        if lacking:
            return f"array {lacking[0][:100]!r}: the app declares it, the model has none"
        return next(filter(None, map(self._misfit, model, model.values())), "")

    def check_arrays(self, update: Mapping[str, Tensor]) -> None:
        """Every array is declared, in its form.

        Raises:
            EgressRefused: the array, whose name is the incoming model's, and what was declared.
        """
        for name, array in update.items():
            if text := self._misfit(name, array):
                raise EgressRefused(f"update, {text}")

    def check_size(self, size_bytes: int) -> None:
        """The packed arrays are no larger than declared.

        Raises:
            EgressRefused: they are.
        """
        if self.max_bytes is not None and size_bytes > self.max_bytes:
            raise EgressRefused(
                f"update: the app declares at most {self.max_bytes} bytes, it has {size_bytes}"
            )

    def check_figure(self, name: str, figure: Decimal) -> None:
        """The rounded figure is declared, and in its range: refused, never moved into it.

        Raises:
            EgressRefused: its name and the range, nothing of the value.
        """
        if self.metrics is None:
            return
        if name not in self.metrics:
            raise EgressRefused(f"metric {name!r}: the app does not declare it")
        declared = self.metrics[name]
        if declared is not None:
            least, most = declared.bounds
            if not least <= figure <= most:
                raise EgressRefused(
                    f"metric {name!r}: the app declares {least} to {most}, got a number outside"
                )

    def _misfit(self, name: str, array: Tensor) -> str:
        if self.arrays is None:
            return ""
        form = self.arrays.get(name)
        if form is None:
            return f"array {name[:100]!r}: the app does not declare it"
        if form.holds(array):
            return ""
        return (
            f"array {name[:100]!r}: the app declares {form.type} {form.shape}, "
            "the run's model has another"
        )

    def choices(self, name: str) -> int:
        """How many values a figure of this name may leave with; 0 if it may not."""
        if self.metrics is None:
            return spellings()
        if name not in self.metrics:
            return 0
        declared = self.metrics[name]
        if declared is None:
            return spellings()
        least, most = declared.bounds
        return spellings(max(least, -LARGEST), min(most, LARGEST))


UNDECLARED: Final = Declaration()
"""Of an app that does not say: the incoming model and the permit bound what leaves."""


def declaration_of(project: Mapping[str, Any]) -> Declaration:
    """What the tables of a pyproject.toml declare.

    Raises:
        BundleError: the field, what was expected and what stands there.
    """
    tool = project.get("tool")
    table = tool.get("tdspace", {}) if isinstance(tool, dict) else {}
    try:
        if not isinstance(table, dict):
            raise DocumentError("$", "a table", type(table).__name__)
        found = Declaration.from_json(_plain(table))
        for name, declared in (found.metrics or {}).items():
            if declared is not None and not declared.least <= declared.most:
                raise DocumentError(f"$.metrics.{name}", "least below most", "the reverse")
    except DocumentError as error:
        raise BundleError(f"bundle: pyproject.toml: [tool.tdspace]: {error}") from error
    return found


def _plain(table: Mapping[str, Any]) -> dict[str, Json]:
    """The three keys that are of a declaration; others of the table are none of its business."""
    metrics = table.get("metrics")
    if isinstance(metrics, list):
        if not all(isinstance(name, str) for name in metrics):
            raise DocumentError("$.metrics", "names", "something else")
        metrics = dict.fromkeys(metrics)
    return {"arrays": table.get("arrays"), "metrics": metrics, "max_bytes": table.get("max-bytes")}
