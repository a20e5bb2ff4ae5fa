"""What a bundle's files tell an owner before anything of them runs: never imported, only parsed.

This is a guide for reading, not a proof: Python lets code hide from any reader that does not run
it. What holds an app is the sandbox (clients.sandbox), not that nothing was flagged here.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, Literal

from clients.appbundle import read_pyproject
from clients.declared import Declaration, declaration_of
from policies.canonical import sha256_hex

MAX_SOURCE_BYTES: Final = 1 << 20
"""A larger source is flagged instead of parsed."""

MAX_PARSED_BYTES: Final = 8 << 20
MAX_LINE: Final = 400
MAX_FLAGS: Final = 500
MAX_DECLARED: Final = 100
MAX_WORD: Final = 200
_LINE_END: Final = re.compile(r"\r\n|\r|\n")

Origin = Literal["own", "space", "standard library", "third party", "unknown"]

SPACE_PACKAGES: Final = frozenset(
    {"clients", "server", "policies", "ledger", "auditors", "commands"}
)
SDK: Final = "clients.sdk"

_MODULES: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("socket", "ssl", "http", "urllib", "ftplib", "smtplib", "asyncio", "selectors", "requests",
         "httpx", "aiohttp", "urllib3", "grpc", "websockets", "socketserver", "xmlrpc"),
        "network",
    ),
    **dict.fromkeys(
        ("subprocess", "multiprocessing", "pty", "signal", "concurrent", "threading", "_thread",
         "joblib", "sched", "atexit"),
        "processes or threads",
    ),
    **dict.fromkeys(("ctypes", "cffi", "mmap", "_ctypes"), "raw memory or foreign code"),
    **dict.fromkeys(
        ("importlib", "imp", "runpy", "pkgutil", "zipimport", "code", "codeop", "builtins"),
        "code loaded at run time",
    ),
    **dict.fromkeys(
        ("pickle", "marshal", "shelve", "dill", "cloudpickle"), "pickles, which can run code"
    ),
    **dict.fromkeys(("gc", "inspect", "sys"), "the interpreter's own objects"),
    **dict.fromkeys(("os", "shutil", "pathlib", "tempfile", "glob", "io"), "files"),
}  # fmt: skip

_NAMES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("exec", "eval", "compile", "__import__"), "code made at run time"),
    **dict.fromkeys(("globals", "locals", "vars", "__builtins__"), "names found at run time"),
    **dict.fromkeys(("open", "input", "breakpoint"), "files or terminal"),
}

_ATTRIBUTES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("import_module", "exec_module", "load_module"), "code loaded at run time"),
    **dict.fromkeys(("system", "popen", "fork", "forkpty", "posix_spawn", "execv", "execve"),
                    "processes"),
    **dict.fromkeys(
        ("__subclasses__", "__globals__", "__builtins__", "__code__", "__mro__", "_getframe",
         "f_back", "f_globals", "__reduce__", "__loader__"),
        "the interpreter's own objects",
    ),
    **dict.fromkeys(("hub", "load_state_dict_from_url", "load_library"), "downloads or libraries"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BundleFile:
    """A file of the bundle."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Import:
    """A module that the app names, and the first place where it does."""

    module: str
    origin: Origin
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Flag:
    """A place to look at, and why."""

    file: str
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class AppReading:
    """What was found; `flags` ends after `MAX_FLAGS`, `flag_count` counts all of them.

    Attributes:
        declared: what it declares to return.
        components: what each part of Flower would import.
        dependencies: what its `[project]` asks for; nothing of it is installed.
    """

    app: str
    files: tuple[BundleFile, ...]
    imports: tuple[Import, ...]
    flags: tuple[Flag, ...]
    flag_count: int
    declared: Declaration
    components: Mapping[str, str]
    dependencies: tuple[str, ...]

    @property
    def total_bytes(self) -> int:
        """Of all files, unpacked."""
        return sum(file.size for file in self.files)


def read_app(
    app: str, files: Mapping[str, bytes], *, installed: Callable[[str], bool]
) -> AppReading:
    """Everything there is to say of a verified bundle's files.

    Args:
        app: the bundle's SHA-256.
        files: as `clients.appbundle.verify_bundle` returns them.
        installed: whether a top-level module can be imported on this node.

    Raises:
        BundleError: its pyproject.toml, or what that declares, cannot be read.
    """
    table = read_pyproject(files)
    own = _own_modules(files)
    imports: dict[str, Import] = {}
    flags = [*_shadowing(own, installed)]
    parsed = 0
    for path, content in sorted(files.items()):
        if not path.endswith(".py"):
            continue
        flags += _odd_text(path, content)
        parsed += len(content)
        tree = None if parsed > MAX_PARSED_BYTES else _parsed(content)
        if tree is None:
            flags.append(Flag(path, 1, "cannot be parsed, or is too large to be"))
            continue
        for module, line in _imported(tree, path):
            origin = _origin(module, own, installed)
            imports.setdefault(module, Import(module[:MAX_WORD], origin, path, line))
        flags += _flagged(tree, path, own)
    flower = _table(_table(_table(table.get("tool")).get("flwr")).get("app"))
    return AppReading(
        app=app,
        files=tuple(BundleFile(p, len(c), sha256_hex(c)) for p, c in sorted(files.items())),
        imports=tuple(sorted(imports.values(), key=lambda one: (one.origin, one.module))),
        flags=tuple(flags[:MAX_FLAGS]),
        flag_count=len(flags),
        declared=declaration_of(table),
        components={
            name[:MAX_WORD]: str(value)[:MAX_WORD]
            for name, value in _table(flower.get("components")).items()
        },
        dependencies=_words(_table(table.get("project")).get("dependencies")),
    )


def modules_named(files: Mapping[str, bytes]) -> list[str]:
    """The modules that sources import, in the order of their names, without the bundle's own.

    Of `from a import b` it names both `a` and `a.b`, which need not be a module.
    """
    own = _own_modules(files)
    found: set[str] = set()
    parsed = 0
    for path, content in sorted(files.items()):
        if not path.endswith(".py"):
            continue
        parsed += len(content)
        tree = None if parsed > MAX_PARSED_BYTES else _parsed(content)
        for node in () if tree is None else ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return sorted(name for name in found if name.partition(".")[0] not in own)


def _own_modules(files: Iterable[str]) -> frozenset[str]:
    tops = (PurePosixPath(path).parts[0] for path in files if path.endswith(".py"))
    return frozenset(top.removesuffix(".py") for top in tops)


def _shadowing(own: Iterable[str], installed: Callable[[str], bool]) -> Iterator[Flag]:
    """The bundle's folder comes first on `sys.path`: its names hide others of the same name."""
    for name in sorted(own):
        if name in sys.stdlib_module_names or name in SPACE_PACKAGES or installed(name):
            yield Flag(name, 1, f"takes the place of the module {name[:MAX_WORD]!r} of this node")


def _odd_text(path: str, content: bytes) -> Iterator[Flag]:
    """What makes a source look different from what it is."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode("utf-8")
    except (SyntaxError, UnicodeDecodeError, LookupError):
        yield Flag(path, 1, "is not UTF-8: what is shown is not what runs")
        return
    if encoding not in ("utf-8", "utf-8-sig"):
        yield Flag(
            path, 1, f"declares the encoding {encoding[:40]!r}: what is shown may not run so"
        )
    for number, line in enumerate(source_lines(text), start=1):
        if len(line) > MAX_LINE:
            yield Flag(path, number, f"a line of {len(line)} characters")
        if not line.replace("\t", "").isprintable():
            yield Flag(path, number, "invisible or control characters")


def _parsed(content: bytes) -> ast.Module | None:
    if len(content) > MAX_SOURCE_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError, LookupError):
        return None


def _imported(tree: ast.Module, path: str) -> Iterator[tuple[str, int]]:
    package = PurePosixPath(path).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*start, *([node.module] if node.module else [])))
            # `from clients import gate` names a module, too.
            top = base in SPACE_PACKAGES
            for name in (f"{base}.{alias.name}" for alias in node.names) if top else (base or ".",):
                yield name, node.lineno


def _origin(module: str, own: frozenset[str], installed: Callable[[str], bool]) -> Origin:
    top = module.partition(".")[0]
    if top in own or not top:
        return "own"
    if top in SPACE_PACKAGES:
        return "space"
    if top in sys.stdlib_module_names:
        return "standard library"
    return "third party" if installed(top) else "unknown"


def _flagged(tree: ast.Module, path: str, own: frozenset[str]) -> Iterator[Flag]:
    for module, line in _imported(tree, path):
        top = module.partition(".")[0]
        if top in SPACE_PACKAGES and top not in own and module != SDK:
            yield Flag(path, line, f"imports {module[:MAX_WORD]}: of the space, not of the SDK")
        elif top in _MODULES and top not in own:
            yield Flag(path, line, f"imports {module[:MAX_WORD]}: {_MODULES[top]}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _NAMES:
            yield Flag(path, node.lineno, f"{node.id}: {_NAMES[node.id]}")
        elif isinstance(node, ast.Attribute) and node.attr in _ATTRIBUTES:
            yield Flag(path, node.lineno, f".{node.attr}: {_ATTRIBUTES[node.attr]}")
        elif isinstance(node, ast.Call) and _computed_name(node):
            yield Flag(path, node.lineno, "getattr or setattr with a name computed at run time")


def _computed_name(call: ast.Call) -> bool:
    reaching = isinstance(call.func, ast.Name) and call.func.id in ("getattr", "setattr")
    return reaching and len(call.args) > 1 and not isinstance(call.args[1], ast.Constant)


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(value: object) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else []
    return tuple(str(word)[:MAX_WORD] for word in listed[:MAX_DECLARED])


def source_lines(text: str) -> list[str]:
    """A source's lines, counted as Python counts them."""
    return _LINE_END.split(text)
