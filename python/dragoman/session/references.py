"""Where a secret is kept: environment variable, keyring, file of its owner alone, or a program that prints it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dragoman.errors import UsageError
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import Secret

_COMMAND_TIMEOUT_S = 60.0  # a password manager may ask for a passphrase


@dataclass(frozen=True, slots=True)
class Reference:
    """The place of one secret; `where` is the name of the profile and credential, for messages."""

    kind: Literal["env", "keyring", "file", "command"]
    target: str | tuple[str, ...]
    where: str

    async def resolve(self, runtime: Runtime) -> Secret:
        """Fetch the secret.

        Raises
        ------
        UsageError
            Says which place is empty or unreachable and what to do; never what was found in it.
        """
        match self.kind:
            case "env":
                value = runtime.environ(str(self.target))
                if not value:
                    raise self._failed(f"environment variable {self.target} is not set", "set it")
            case "file":
                value = await runtime.in_worker(self._read_file, runtime)
            case "command":
                value = await self._run(runtime)
            case "keyring":
                value = await runtime.in_worker(self._read_keyring)
        return Secret(value)

    def _read_file(self, runtime: Runtime) -> str:
        path = str(self.target)
        try:
            mode = runtime.disk.mode(path)
            if mode & 0o077:
                raise self._failed(f"{path} has mode {mode:04o}, expected 0600", f"run: chmod 600 {path}")
            value = _text(runtime.disk.read(path))
        except FileNotFoundError:
            raise self._failed(f"file {path} does not exist", "write the secret into it, mode 0600") from None
        except OSError as error:
            raise self._failed(f"{path} cannot be read: {error.strerror}", "check the file") from error
        if value is None:
            raise self._failed(f"{path} is not UTF-8 text", "write the secret into it as text")
        if not value:
            raise self._failed(f"file {path} is empty", "write the secret into it")
        return value

    async def _run(self, runtime: Runtime) -> str:
        program = self.target[0]
        try:
            value = (await runtime.run_command(self.target, timeout=_COMMAND_TIMEOUT_S)).strip()
        except OSError as error:
            raise self._failed(f"{program} failed: {error}", "run it by hand once") from error
        if not value:
            raise self._failed(f"{program} printed nothing", "run it by hand once")
        return value

    def _read_keyring(self) -> str:
        service, _, user = str(self.target).rpartition("/")
        try:
            import keyring
            import keyring.errors
        except ImportError:
            raise self._failed("the keyring package is not installed", "pip install 'dragoman[keyring]'") from None
        try:
            value = keyring.get_password(service, user)
        except keyring.errors.KeyringError as error:
            raise self._failed(f"the keyring is not available ({type(error).__name__})", "unlock it") from None
        if not value:
            raise self._failed(f"the keyring has no {service}/{user}", f"run: keyring set {service} {user}")
        return str(value)

    def _failed(self, what: str, remedy: str) -> UsageError:
        return UsageError(f"{self.where}: {what}", remedy=remedy)


def reference_of(value: object, where: str) -> Reference:
    """Read a reference as it stands in a profile.

    Raises
    ------
    UsageError
        For anything but one of the four forms.
    """
    if isinstance(value, Mapping) and len(value) == 1:
        (kind, target), *_ = value.items()
        if kind in ("env", "file") and isinstance(target, str) and target:
            return Reference(kind, target, where)
        if kind == "keyring" and isinstance(target, str) and all(target.rpartition("/")[::2]):
            return Reference("keyring", target, where)
        if kind == "command" and _is_argv(target):
            return Reference("command", tuple(target), where)
    raise UsageError(
        f"{where} is not a reference to a secret",
        remedy='use { env = "NAME" }, { keyring = "service/user" }, { file = "path" } or { command = ["program"] }',
    )


def _text(data: bytes) -> str | None:
    """Return what a file holds, None where it is no text: the decoder's own error would carry the bytes along."""
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return None


def _is_argv(target: Any) -> bool:
    return isinstance(target, list) and bool(target) and all(isinstance(word, str) for word in target)
