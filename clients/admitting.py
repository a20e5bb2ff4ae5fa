"""Step 6 of a round for one task: the gate, and that what came with the permit fits it.

    permit    clients.gate
    model     of the permit's form, and of the one that its app declares
    sum       how what leaves is masked, checked before anything runs (clients.masking)

Nothing is recorded here: `clients.work` does, under the turn that this is called in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from clients.errors import refused
from clients.gate import Admission, GateKeys, MessageFacts, NodeView, check_permit
from clients.logcheck import FetchConsistency
from clients.masking import Masking, masking_of
from clients.materials import Materials
from clients.pairwise_desk import PairwiseDesk
from clients.tasks import Task
from policies.canonical import sha256_hex
from policies.errors import DocumentError
from policies.provenance import unpack_model
from policies.runconfig import config_digest
from policies.tensors import Tensors, architecture_digest


@dataclass(frozen=True, slots=True)
class Admitted:
    """A task that passed, with the model that it came with and how what leaves is masked."""

    admission: Admission
    incoming: Tensors
    masking: Masking | None


@dataclass(frozen=True, slots=True)
class Admitting:
    """What tasks are checked against.

    Attributes:
        keys: who the node is and whom it believes.
        view: what the node remembers.
        materials: what apps declare.
        sums: the pairwise sums that the node takes part in.
        fetch_consistency: asks governance for a proof.
        clock: aware UTC now.
    """

    keys: GateKeys
    view: NodeView
    materials: Materials
    sums: PairwiseDesk
    fetch_consistency: FetchConsistency
    clock: Callable[[], datetime]

    def check(self, task: Task) -> Admitted:
        """Returns only if the task may go on; records nothing.

        Raises:
            GateRefused, LogForked: as `clients.gate.check_permit`; or the model or the masks do
                not fit the permit.
        """
        try:
            config = config_digest(task.run_config)
        except DocumentError as error:
            raise refused("permit-wrong-config", f"the run config: {error}") from error
        admission = check_permit(
            task.permit,
            facts=MessageFacts(
                flower_run=task.flower_run,
                app_sha256=task.fab_sha256,
                config_sha256=config,
                model_sha256=sha256_hex(task.model),
            ),
            keys=self.keys,
            view=self.view,
            now=self.clock(),
            fetch_consistency=self.fetch_consistency,
        )
        try:
            incoming, _ = unpack_model(task.model)
        except DocumentError as error:
            raise refused("permit-wrong-model", f"the model: {error}") from error
        if architecture_digest(incoming) != admission.permit.body.architecture:
            text = "the model: its arrays are not those that the permit was given for"
            raise refused("permit-wrong-model", text)
        if misfit := self.materials.declaration(task.fab_sha256).misfit(incoming):
            raise refused("permit-wrong-model", f"the model: {misfit}")
        masker = self.sums.masker(task, admission.permit.body)
        return Admitted(admission, incoming, masking_of(admission, incoming, masker))
