"""Imports go one way (DESIGN.md, layout), and Flower's private modules stay in two files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ALLOWED: dict[str, set[str]] = {
    "policies": set(),
    "ledger": set(),
    "server": {"policies", "ledger"},
    "clients": {"policies", "ledger"},
    "auditors": {"policies", "ledger"},
    "commands": {"policies", "ledger", "server", "clients", "auditors"},
}
PUBLIC_FLOWER = {"flwr.app", "flwr.clientapp", "flwr.serverapp"}
MAY_TOUCH_PRIVATE_FLOWER = {"clients/fleet.py", "server/exchange.py"}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module


def _sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"package {package} has no source"
    return [path for path in found if "apps" not in path.relative_to(ROOT).parts]


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_package_imports_only_what_the_table_allows(package: str) -> None:
    ours = set(ALLOWED) - {package}
    for path in _sources(package):
        used = {name.split(".")[0] for name in _imports(path)} & ours
        assert used <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {used}"


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_private_flower_stays_in_two_files(package: str) -> None:
    for path in _sources(package):
        name = path.relative_to(ROOT).as_posix()
        private = {
            module
            for module in _imports(path)
            if module.split(".")[0] == "flwr" and module not in PUBLIC_FLOWER
        }
        assert not private or name in MAY_TOUCH_PRIVATE_FLOWER, f"{name} imports {private}"


def test_apps_take_nothing_of_ours_but_the_sdk() -> None:
    apps = sorted((ROOT / "clients" / "apps").rglob("*.py"))
    assert apps
    for path in apps:
        used = {name for name in _imports(path) if name.split(".")[0] in ALLOWED}
        assert used <= {"clients.sdk"}, f"{path.relative_to(ROOT)} imports {used}"
