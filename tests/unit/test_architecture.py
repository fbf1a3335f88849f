"""The folders' one picture, held by reading imports: who may depend on whom, and where the world may be touched."""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENGINE = ROOT / "python" / "dragoman"
ADAPTERS = ROOT / "adapters"

BASE = {"model", "errors", "plugin"}
CLIENT = {path.stem for path in ENGINE.glob("client*.py")}
MAY_IMPORT = {
    "model": {"errors", "model", "_core"},
    "errors": set(),
    "plugin": {"model", "errors", "plugin", "_core"},
    "runtime": BASE | {"runtime", "_core"},
    "transport": BASE | {"runtime", "transport", "_core"},
    "session": BASE | {"runtime", "transport", "session", "_core"},
    "checks": BASE | {"checks", "_core", "runtime"},
    "market": BASE | {"session", "checks", "market", "_core", "runtime", "transport"},
    "orders": BASE | {"session", "checks", "market", "orders", "_core", "runtime", "transport"},
    "portfolio": BASE | {"session", "checks", "market", "orders", "portfolio", "_core", "runtime", "transport"},
    "rules": BASE | {"session", "checks", "market", "orders", "portfolio", "rules", "_core", "runtime", "transport"},
    "report": BASE | {"session", "checks", "market", "orders", "portfolio", "report", "_core", "runtime", "transport"},
    "emulator": BASE | {"runtime", "transport", "emulator"},
    **dict.fromkeys(
        CLIENT,
        BASE
        | {"session", "checks", "market", "orders", "portfolio", "rules", "runtime", "transport", "_core"}
        | CLIENT,
    ),
}
FORBIDDEN_MODULES = {"time", "random", "threading", "socket", "select", "selectors", "concurrent", "secrets"}
FORBIDDEN_MODULES |= {"os", "subprocess", "tempfile", "pathlib", "shutil", "signal", "multiprocessing"}
# A command names its files and stops when it is told; the work is elsewhere.
A_COMMAND_MAY = {"os", "tempfile", "pathlib", "signal"}
BROKERS = re.compile(
    r"\b(zerodha|kite\w*|upstox|angelone|smartapi|dhan|dhanhq|fyers|shoonya|flattrade|noren|alpaca|binance|kraken|coinbase)\b",
    re.I,
)


def python_files(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in root.rglob("*.py") if "__pycache__" not in path.parts)


def imports(path: pathlib.Path, *, lazy: bool = True) -> set[str]:
    """Dotted names imported anywhere in a file (or, without `lazy`, at its top level)."""
    tree = ast.parse(path.read_text("utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree) if lazy else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # an adapter's own modules
                assert ADAPTERS in path.parents, f"{path}: the engine imports by full name"
                assert node.level == 1, f"{path}: an adapter stays in its own package"
                module = f"dragoman.adapters.{path.relative_to(ADAPTERS).parts[0]}.{module}".rstrip(".")
            found |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return found


def layer(path: pathlib.Path) -> str:
    return path.relative_to(ENGINE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", python_files(ENGINE), ids=lambda p: str(p.relative_to(ENGINE)))
def test_engine_layers_import_only_what_lies_below_them(path: pathlib.Path) -> None:
    allowed = MAY_IMPORT.get(layer(path))
    if allowed is None:  # cli, testing, sync, __init__ may import anything of ours
        return
    used = {name.split(".")[1] for name in imports(path) if name.startswith("dragoman.")}
    assert used <= allowed, f"{path.relative_to(ROOT)} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("path", python_files(ADAPTERS), ids=lambda p: str(p.relative_to(ADAPTERS)))
def test_adapters_import_only_the_plugin_contract(path: pathlib.Path) -> None:
    own = f"dragoman.adapters.{path.relative_to(ADAPTERS).parts[0]}"
    allowed = ("dragoman.plugin", own) + (("dragoman.emulator",) if path.name.startswith("emulator") else ())
    ours = {name for name in imports(path) if name.split(".")[0] == "dragoman"} - {"dragoman"}
    wrong = {name for name in ours if not name.startswith(allowed)}
    assert not wrong, f"{path.name} imports {sorted(wrong)}"


@pytest.mark.parametrize(
    "path",
    [p for p in python_files(ENGINE) + python_files(ADAPTERS) if "runtime" not in p.parts],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_only_the_runtime_touches_clock_randomness_sockets_threads_and_files(path: pathlib.Path) -> None:
    tops = {name.split(".")[0] for name in imports(path)} - (A_COMMAND_MAY if "cli" in path.parts else set())
    assert not tops & FORBIDDEN_MODULES, f"{path.name} imports {sorted(tops & FORBIDDEN_MODULES)}"
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {
                "open",
                "io.open",
                "asyncio.sleep",
                "asyncio.to_thread",
                "asyncio.open_connection",
                "asyncio.start_server",
                "datetime.now",
                "datetime.utcnow",
                "date.today",
                "uuid.uuid4",
                "uuid.uuid1",
                "os.urandom",
            }, f"{path.name}:{node.lineno} calls {called}"


def test_the_engine_names_no_broker() -> None:
    files = [p for p in python_files(ENGINE) if not {"compat", "integrations"} & set(p.parts)]
    core = [p for folder in ("include", "src", "bindings") for p in (ROOT / "cpp" / folder).rglob("*.?pp")]
    named = []
    for path in files + core:
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if BROKERS.search(line):
                named.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not named, "\n".join(named)


def test_importing_dragoman_loads_no_heavy_module_and_no_adapter() -> None:
    program = "import sys, dragoman; print(*sorted(sys.modules))"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    )
    heavy = {"numpy", "pydantic", "picows", "uvloop", "typer", "rich", "wsproto", "httptools", "orjson"} & loaded
    adapters = {name for name in loaded if name.startswith("dragoman.adapters.")}
    assert not heavy
    assert not adapters


def test_no_source_is_evaluated_unpickled_or_run_through_a_shell() -> None:
    for path in python_files(ENGINE) + python_files(ADAPTERS):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "pickle.loads", "pickle.load", "os.system", "os.popen"}, path
                shell = [k for k in node.keywords if k.arg == "shell"]
                assert not shell, f"{path}: shell strings are never built"
