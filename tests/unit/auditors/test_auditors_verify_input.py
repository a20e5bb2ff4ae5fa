"""What cannot be verified at all, and a folder that is in use."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

import pytest
from auditors_folder import ENTRIES, OTHER, SIGNER, current, edit, head, verify

from auditors.errors import AuditInputError, IntegrityBroken
from auditors.verify import Verified, verify_folder
from ledger.checkpoint import Checkpoint, open_checkpoint
from ledger.folder import history_line
from ledger.tree import leaf_hash


@pytest.mark.parametrize("name", ["entries.jsonl", "leaves", "checkpoints.jsonl", "checkpoint"])
def test_a_missing_file(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(AuditInputError, match=f"a file {name}, got none"):
        verify(folder)
    (folder / name).mkdir()
    with pytest.raises(AuditInputError, match=f"a file {name}, got none"):
        verify(folder)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(AuditInputError, match="got none"):
        verify(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["leaves", "checkpoint"])
def test_a_file_that_cannot_be_read(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Path.open

    def failing(path: Path, *args: object) -> object:
        if path.name == name:
            raise OSError(5, "Input/output error")
        return whole(path, *args)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", failing)
    with pytest.raises(AuditInputError, match="Input/output error"):
        verify(folder)


@pytest.mark.parametrize("key", ["", "no key", SIGNER.verifier_key[:-1], "x+00000000+AAAA"])
def test_a_key_that_is_none(folder: Path, key: str) -> None:
    with pytest.raises(AuditInputError, match="the log's key"):
        verify_folder(folder, verifier_key=key)


def test_the_key_of_another_log(folder: Path) -> None:
    with pytest.raises(IntegrityBroken, match="make sure that the key handed in"):
        verify_folder(folder, verifier_key=OTHER.verifier_key)


@pytest.mark.parametrize("note", ["", "no note", head(ENTRIES, OTHER)])
def test_a_seen_checkpoint_that_proves_nothing(folder: Path, note: str) -> None:
    with pytest.raises(AuditInputError, match=r"seen checkpoint 2: .* proves nothing"):
        verify(folder, (head(ENTRIES[:5]), note))


def test_a_folder_in_use_is_seen_whole(folder: Path) -> None:
    """While the log holds the lock, the files disagree; the auditor waits for it."""
    done: list[Verified] = []
    newer = [*ENTRIES, b"{}"]
    with (folder / "entries.jsonl").open("ab") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        writer.write(b"{}\n")
        writer.flush()
        auditor = threading.Thread(target=lambda: done.append(verify(folder)))
        auditor.start()
        auditor.join(0.05)
        assert not done
        with (folder / "leaves").open("ab") as leaves:
            leaves.write(leaf_hash(b"{}").hex().encode() + b"\n")
        with (folder / "checkpoints.jsonl").open("ab") as history:
            history.write(history_line(21, head(newer)))
        current(head(newer))(folder)
    auditor.join(10)
    assert [verified.size for verified in done] == [21]


def test_lines_added_meanwhile_are_left_for_the_next_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def later(note: str, verifier: object) -> Checkpoint:
        if not added:
            added.append(True)
            edit("entries.jsonl", lambda d: [*d, b"{}\n"])(folder)
            edit("leaves", lambda d: [*d, b"0" * 64 + b"\n"])(folder)
        return open_checkpoint(note, SIGNER.verifier)

    added: list[bool] = []
    monkeypatch.setattr("auditors.verify.open_checkpoint", later)
    assert verify(folder).size == 20
    assert added
