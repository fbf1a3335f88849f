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


@pytest.fixture
def builder(bare_machine):
    """An environment whose pip prints what a build prints, and goes on when `go` is there."""
    for tool in ("grep", "tail", "sleep", "kill"):
        (bare_machine / tool).symlink_to(shutil.which(tool) or pytest.skip(f"no {tool} here"))
    script(bare_machine, "c++", "exit 0")
    (bare_machine / "venv" / "bin").mkdir(parents=True)
    script(
        bare_machine,
        "venv/bin/python",
        'case "$*" in -m\\ pip*) ;; *) exit 0 ;; esac\n'
        f'echo "  [3/10] Building CXX object"; while [ ! -e {bare_machine}/go ]; do sleep 0.1; done\n'
        f'echo "the compiler\'s words"; exit "$(cat {bare_machine}/status)"',
    )
    return bare_machine


def build(machine: pathlib.Path, status: int) -> tuple[int, list[str], str]:
    """Run the build; its pip goes on once the script has said how far it is."""
    (machine / "status").write_text(str(status))
    environment = {"PATH": str(machine), "DRAGOMAN_SETUP_TELLS": "1", "PWD": str(machine)}
    command = [str(machine / "bash"), str(SETUP), "build", str(machine / "venv")]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=machine
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        said = []
        for line in running.stdout:
            said.append(line.rstrip())
            if "of 10 files" in line:
                (machine / "go").touch()
        complaint = running.stderr.read()
    return running.returncode, said, complaint


def test_a_build_says_how_far_it_is_and_shows_nothing_else(builder):
    code, said, complaint = build(builder, status=0)
    assert (code, complaint) == (0, "")
    assert said[0] == "2/2 Building the core with c++ ..."
    assert any(line.endswith("3 of 10 files") for line in said)
    assert said[-1].startswith("2/2 Building the core with c++: done in")
    assert not any("words" in line for line in said)
    assert (builder / "venv" / ".built").exists()


def test_a_build_that_fails_shows_what_the_compiler_said(builder):
    code, said, complaint = build(builder, status=1)
    assert code == 1
    assert "the compiler's words" in complaint
    assert complaint.splitlines()[-1] == "dragoman: the build failed; its output is above"
    assert not any("done" in line for line in said)
    assert not (builder / "venv" / ".built").exists()
