"""A machine that lacks something is told so in one sentence, before anything is downloaded."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

SETUP = pathlib.Path(__file__).resolve().parents[2] / ".ci" / "setup"
TOOLS = ("bash", "dirname", "mktemp", "cat", "rm", "touch")


@pytest.fixture
def bare_machine(tmp_path):
    """A PATH with a shell and no more than what is added."""
    for tool in TOOLS:
        (tmp_path / tool).symlink_to(shutil.which(tool) or pytest.skip(f"no {tool} here"))
    return tmp_path


def setup(path: pathlib.Path, *arguments: str) -> tuple[int, str]:
    environment = {"PATH": str(path), "HOME": os.environ.get("HOME", "/")}
    done = subprocess.run(
        [str(path / "bash"), str(SETUP), *arguments], env=environment, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr.strip()


def script(path: pathlib.Path, name: str, text: str) -> None:
    (path / name).write_text(f"#!{path / 'bash'}\n{text}\n")
    (path / name).chmod(0o755)


def test_no_python_is_one_sentence(bare_machine, tmp_path):
    code, said = setup(bare_machine, "environment", str(tmp_path / "venv"))
    assert code == 1
    assert said.startswith("dragoman: Python 3.11 or newer is needed")
    assert "\n" not in said


def test_an_old_python_is_one_sentence(bare_machine, tmp_path):
    script(bare_machine, "python3", "exit 1")  # what an older one answers to the version question
    code, said = setup(bare_machine, "environment", str(tmp_path / "venv"))
    assert (code, said.count("\n")) == (1, 0)
    assert "3.11 or newer" in said


def test_no_compiler_is_one_sentence_before_anything_is_downloaded(bare_machine, tmp_path):
    (bare_machine / "python3").symlink_to(sys.executable)
    code, said = setup(bare_machine, "environment", str(tmp_path / "venv"))
    assert (code, said.count("\n")) == (1, 0)
    assert "C++20 compiler" in said
    assert not (tmp_path / "venv").exists()
