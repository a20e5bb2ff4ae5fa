"""An outsider of docker-compose.yml: `tds audit` with the log's address, its CA and its key.

`python -m commands.container.auditor VERB [WORD...]`, as in `docker compose run --rm auditor
replay --json`. A report without --out goes to standard output, since the container keeps nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

LOG: Final = "https://proxy:9446/log"
TRUST: Final = ("--ca", "/public/ca.crt", "--key", "/public/log.key")
RUN: Final = (sys.executable, "-m", "commands")
READS_LOG: Final = frozenset(
    {"verify", "replay", "report", "find", "explain", "monitor", "prove", "rows"}
)


def words(asked: Sequence[str]) -> list[str]:
    """What `tds` is to be called with."""
    verb, *rest = asked or ["verify"]
    if verb not in READS_LOG or "--help" in rest:
        return ["audit", verb, *rest]
    return ["audit", verb, LOG, *TRUST, *rest]


def main(asked: Sequence[str]) -> int:
    """Run it; its exit code, which says what was found."""
    tds = [*RUN, *words(asked)]
    if "report" not in asked[:1] or any(word.split("=")[0] == "--out" for word in asked):
        return subprocess.run(tds, check=False).returncode
    with tempfile.TemporaryDirectory(prefix="tds-report-") as made:
        out = Path(made) / "report"
        command = [*tds, *([] if "--help" in asked else ["--out", str(out)])]
        code = subprocess.run(command, check=False, stdout=sys.stderr).returncode
        if out.is_file():
            with out.open("rb") as report:
                shutil.copyfileobj(report, sys.stdout.buffer)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
