"""Builds the hand-written decoders with the flags of the core."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import subprocess
import sysconfig
from types import ModuleType

HERE = pathlib.Path(__file__).parent
FLAGS = ("-std=c++20", "-O3", "-DNDEBUG", "-fPIC", "-shared", "-fvisibility=hidden")


def handwritten(name: str = "decoder") -> ModuleType:
    """Compile (where the source is newer) and import one of the sources in ``handwritten``."""
    source = HERE / "handwritten" / f"{name}.cpp"
    built = HERE.parent / "build" / "benchmarks" / f"handwritten_{name}{sysconfig.get_config_var('EXT_SUFFIX')}"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        built.parent.mkdir(parents=True, exist_ok=True)
        includes = [f"-I{HERE.parent / 'cpp' / 'include'}", f"-I{sysconfig.get_paths()['include']}"]
        command = [os.environ.get("CXX", "c++"), *FLAGS, *includes, str(source), "-o", str(built)]
        subprocess.run(command, check=True)
    spec = importlib.util.spec_from_file_location("handwritten", built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
