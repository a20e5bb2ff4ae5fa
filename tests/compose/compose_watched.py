"""The project of all tests with what passes its networks."""

from __future__ import annotations

from dataclasses import dataclass

from compose_canary import Canary
from compose_capture import Capture
from compose_project import Project


@dataclass(frozen=True, slots=True)
class Watched:
    """The project, and a capture that began before its first packet.

    Attributes:
        canary: what stands in the rows of one enterprise.
    """

    project: Project
    capture: Capture
    canary: Canary
