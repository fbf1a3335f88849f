"""Builds the hand-written decoders and the server of the order path, with the flags of the core."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sysconfig
from types import ModuleType

HERE = pathlib.Path(__file__).parent
BUILT = HERE.parent / "build" / "benchmarks"
FLAGS = ("-std=c++20", "-O3", "-DNDEBUG", "-fPIC", "-fvisibility=hidden")


def compile_newer(source: pathlib.Path, built: pathlib.Path, *flags: str) -> None:
    """Compile where the source is newer."""
    if built.exists() and built.stat().st_mtime >= source.stat().st_mtime:
        return
    built.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([os.environ.get("CXX", "c++"), *FLAGS, *flags, str(source), "-o", str(built)], check=True)


def program(name: str) -> pathlib.Path:
    """Compile (where the source is newer) ``native/NAME.cpp`` and return the program."""
    built = BUILT / name
    compile_newer(HERE / "native" / f"{name}.cpp", built)
    return built


def handwritten(name: str = "decoder") -> ModuleType:
    """Compile (where the source is newer) and import one of the sources in ``handwritten``."""
    source = HERE / "handwritten" / f"{name}.cpp"
    built = BUILT / f"handwritten_{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = (f"-I{HERE.parent / 'cpp' / 'include'}", f"-I{sysconfig.get_paths()['include']}")
    compile_newer(source, built, "-shared", *includes)
    spec = importlib.util.spec_from_file_location("handwritten", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
