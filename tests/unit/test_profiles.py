"""Profiles name an environment and the places of secrets; what is wrong is said with its remedy, never with a value."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from dragoman.errors import UsageError
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.emulators import path_of
from dragoman.session.profiles import Profile, load_profile
from dragoman.session.references import Reference
from dragoman.session.secrets import Secret
from reference.session_toys import ToyAdapter

PATH = "/cfg/profiles.toml"
EMULATOR = {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9/ws", "login": "http://127.0.0.1:9/page"}


def load(text: str | None = None, *, mode: int = 0o600, runtime: VirtualRuntime | None = None, **asked) -> Profile:
    runtime = runtime or VirtualRuntime()
    runtime.env.setdefault("DRAGOMAN_CONFIG", PATH)
    if text is not None:
        runtime.disk.write_atomic(PATH, text.encode(), mode=mode)
    with runtime:
        return runtime.run(load_profile(runtime, ToyAdapter(), **asked))


def refused(text: str | None = None, **asked) -> str:
    with pytest.raises(UsageError) as raised:
        load(text, **asked)
    assert "canary" not in str(raised.value)
    assert raised.value.__cause__ is None or "canary" not in str(raised.value.__cause__)
    return str(raised.value)


def resolve(reference: Reference, runtime: VirtualRuntime) -> Secret:
    with runtime:
        return runtime.run(reference.resolve(runtime))


def test_a_profile_brings_environment_hosts_egress_and_references():
    profile = load("""
        [toy.main]
        environment = "live"
        credentials.api_key = { env = "TOY_KEY" }
        credentials.api_secret = { command = ["pass", "show", "toy"] }
        credentials.user = "me"
        settings.unit = "lots"
        egress.source_address = "203.0.113.7"
        redirect_port = 5011
        account = "AC1"
    """)
    assert (profile.environment, profile.redirect_port, profile.account) == ("live", 5011, "AC1")
    assert profile.hosts == ToyAdapter.hosts["live"]
    assert profile.egress.source_address == "203.0.113.7"
    assert profile.settings == {"unit": "lots"}
    key = profile.credentials["api_key"]
    assert isinstance(key, Reference)
    assert (key.kind, key.target) == ("env", "TOY_KEY")
    assert str(profile) == "toy/main (live)"


def test_the_file_must_be_its_owners_alone():
    assert f"chmod 600 {PATH}" in refused('[toy.main]\nenvironment = "live"', mode=0o644)


def test_a_missing_profile_names_the_file_and_the_credentials():
    message = refused("[other.main]")
    assert PATH in message
    assert "api_secret" in message


def test_no_environment_is_ever_assumed():
    assert "live, sandbox or emulator" in refused('[toy.main]\naccount = "AC1"')


def test_a_call_for_another_environment_than_the_profiles_is_refused():
    message = refused('[toy.main]\nenvironment = "live"', environment="emulator")
    assert "live" in message
    assert "emulator" in message


def test_an_unknown_environment_and_one_the_broker_lacks_are_refused():
    assert "live, sandbox, emulator" in refused('[toy.main]\naccount = "A"', environment="demo")
    assert "emulator, live" in refused('[toy.main]\nenvironment = "sandbox"')


def test_a_literal_secret_is_refused_without_showing_it():
    message = refused('[toy.main]\nenvironment = "live"\ncredentials.api_secret = "canary-in-file"')
    assert "api_secret" in message
    assert "env" in message


def test_a_literal_emulator_secret_is_refused_outside_the_emulator():
    assert "api_key" in refused('[toy.main]\nenvironment = "live"\ncredentials.api_key = "emu_key"')


def test_emulator_secrets_may_stand_in_the_file():
    profile = load(
        '[toy.main]\nenvironment = "emulator"\ncredentials.api_key = "emu_key"\n'
        '[toy.main.hosts]\nrest = "http://127.0.0.1:9"\nws = "ws://[::1]:9"\nlogin = "http://127.0.0.1:9"'
    )
    secret = profile.credentials["api_key"]
    assert isinstance(secret, Secret)
    assert secret.reveal() == "emu_key"


@pytest.mark.parametrize(
    "value", ['{ env = "" }', "{ keyring = 'noslash' }", "{ command = 'canary' }", "{ env = 'A', file = 'B' }", "7"]
)
def test_what_is_no_reference_is_refused_with_the_four_forms(value):
    message = refused(f'[toy.main]\nenvironment = "live"\ncredentials.api_key = {value}')
    assert all(word in message for word in ("env", "keyring", "file", "command"))


def test_unknown_credentials_fields_and_hosts_are_refused_by_name():
    assert "api_keys" in refused('[toy.main]\nenvironment = "live"\ncredentials.api_keys = { env = "K" }')
    assert "enviroment" in refused('[toy.main]\nenviroment = "canary"')
    assert "tick" in refused('[toy.main]\nenvironment = "live"\nhosts.tick = "wss://x"')
    assert "redirect_port" in refused('[toy.main]\nenvironment = "live"\nredirect_port = 70000')
    assert "proxy" in refused('[toy.main]\nenvironment = "live"\negress.proxy = "http://u:canary@p:1"')


@pytest.mark.parametrize(
    ("environment", "root"),
    [
        ("live", "http://127.0.0.1:9"),
        ("live", "http://api.toy.example"),
        ("emulator", "http://localhost:9"),
        ("emulator", "http://192.0.2.1:9"),
        ("emulator", "ftp://127.0.0.1"),
        ("emulator", "http://u:canary@127.0.0.1:9"),
    ],
)
def test_plain_http_is_for_literal_loopback_in_the_emulator_only(environment, root):
    table = f'[toy.main]\nenvironment = "{environment}"\nhosts.ws = "wss://x"\nhosts.login = "https://x"\n'
    assert "rest" in refused(f'{table}hosts.rest = "{root}"')


def test_an_emulator_profile_without_roots_says_where_to_get_them():
    assert "dragoman emulate toy" in refused('[toy.main]\nenvironment = "emulator"')


def test_broken_toml_is_a_usage_error():
    assert "not TOML" in refused("[toy.main\n")
    assert "not a table" in refused("toy = 7")


def test_overrides_need_no_file_and_win_over_it():
    overrides = {"hosts": EMULATOR, "credentials": {"api_key": "emu_key", "api_secret": Secret("canary-secret")}}
    profile = load(None, environment="emulator", overrides=overrides)
    assert profile.hosts == EMULATOR
    assert "canary" not in repr(profile)
    merged = load('[toy.main]\nenvironment = "live"\naccount = "A"\nsettings.unit = "lots"', overrides={"account": "B"})
    assert (merged.account, merged.settings["unit"]) == ("B", "lots")


def test_environment_variables_files_and_commands_are_followed():
    runtime = VirtualRuntime()
    runtime.env["K"] = "canary-env"
    runtime.disk.write_atomic("/s", b"canary-file\n", mode=0o600)
    runtime.commands["pass", "show"] = "canary-command\n"
    for kind, target, value in (
        ("env", "K", "canary-env"),
        ("file", "/s", "canary-file"),
        ("command", ("pass", "show"), "canary-command"),
    ):
        secret = runtime.run(Reference(kind, target, "toy").resolve(runtime))
        assert secret.reveal() == value
    runtime.close()


@pytest.mark.parametrize(
    ("kind", "target", "remedy"),
    [
        ("env", "MISSING", "set it"),
        ("file", "/missing", "write the secret"),
        ("file", "/open", "chmod 600 /open"),
        ("file", "/empty", "write the secret"),
        ("command", ("no-such",), "run it by hand"),
    ],
)
def test_an_empty_or_unsafe_place_is_a_usage_error_with_its_remedy(kind, target, remedy):
    runtime = VirtualRuntime()
    runtime.disk.write_atomic("/open", b"canary", mode=0o640)
    runtime.disk.write_atomic("/empty", b"", mode=0o600)
    with pytest.raises(UsageError, match=remedy) as raised:
        resolve(Reference(kind, target, "profile toy.main: credential api_key"), runtime)
    assert "canary" not in str(raised.value)
    assert "api_key" in str(raised.value)


def test_the_keyring_is_asked_by_service_and_user():
    import keyring.backend
    import keyring.errors

    class Ring(keyring.backend.KeyringBackend):
        priority = 1

        def get_password(self, service, username):
            if service == "locked":
                raise keyring.errors.KeyringLocked("canary")
            return {"toy/prod": {"me": "canary-ring"}}.get(service, {}).get(username)

        def set_password(self, service, username, password):
            raise AssertionError("a profile never writes")

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        assert resolve(Reference("keyring", "toy/prod/me", "x"), VirtualRuntime()).reveal() == "canary-ring"
        for target, remedy in (("toy/prod/you", "keyring set toy/prod you"), ("locked/me", "unlock")):
            with pytest.raises(UsageError, match=remedy) as raised:
                resolve(Reference("keyring", target, "x"), VirtualRuntime())
            assert "canary" not in str(raised.value)
    finally:
        keyring.set_keyring(before)


def test_loading_the_module_does_not_load_pydantic():
    program = "import sys, dragoman.session.profiles; print('pydantic' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "False\n"
    )


def test_each_root_that_is_missing_is_named():
    runtime = VirtualRuntime()
    adapter = load_adapter("zerodha")
    overrides = {"hosts": {"rest": "http://127.0.0.1:1", "ws": "ws://127.0.0.1:1"}}
    with pytest.raises(UsageError, match="no roots for environment emulator: login"):
        runtime.run(load_profile(runtime, adapter, "x", environment="emulator", overrides=overrides))


def test_a_file_that_is_not_there_is_called_so():
    runtime = VirtualRuntime()
    runtime.env["HOME"] = "/home/me"
    with pytest.raises(UsageError, match=r"there is no file /home/me/\.config/dragoman/profiles\.toml"):
        runtime.run(load_profile(runtime, load_adapter("zerodha"), "main", environment="live"))


LINE = {
    **EMULATOR,
    "broker": "toy",
    "credentials": {"api_key": "emu_key", "api_secret": "emu_secret", "user": "me", "redirect_url": "http://x:5012/"},
}


def serving(name: str, line: dict[str, object] = LINE) -> VirtualRuntime:
    """A machine on which an emulator of that name runs, as `dragoman emulate` says of it."""
    runtime = VirtualRuntime()
    runtime.env["DRAGOMAN_STATE"] = "/state"
    runtime.disk.write_atomic(path_of(runtime, "toy", name), json.dumps(line).encode())
    return runtime


@pytest.mark.parametrize("name", ["emulator", "second"])
def test_environment_emulator_without_a_profile_means_the_emulator_of_that_name(name):
    profile = load(runtime=serving(name), name=name, environment="emulator")
    assert (profile.name, profile.environment, profile.redirect_port) == (name, "emulator", 5012)
    assert profile.hosts == EMULATOR


def test_a_profile_of_the_file_goes_before_a_running_emulator():
    text = f"""
        [toy.emulator]
        environment = "emulator"
        hosts = {{ {", ".join(f'{key} = "{value}0"' for key, value in EMULATOR.items())} }}
        credentials = {{ api_key = "emu_key", api_secret = "emu_secret", user = "me" }}
    """
    profile = load(text, runtime=serving("emulator"), name="emulator", environment="emulator")
    assert profile.hosts["rest"] == EMULATOR["rest"] + "0"


def test_an_emulator_that_does_not_run_is_said_to_and_one_that_does_is_named():
    said = refused(runtime=serving("emulator"), environment="emulator")
    assert "no emulator of toy named 'main' is running" in said
    assert "one named 'emulator' is: name that as the profile" in said
    machine = VirtualRuntime()
    machine.env["DRAGOMAN_STATE"] = "/state"
    assert "run `dragoman emulate toy` in another terminal" in refused(runtime=machine, environment="emulator")


@pytest.mark.parametrize("environment", [None, "live", "sandbox"])
def test_no_other_environment_finds_a_running_emulator(environment):
    assert "profile" in refused(runtime=serving("main"), environment=environment)


def test_a_folder_in_place_of_the_file_is_said_to_be_one(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGOMAN_CONFIG", str(tmp_path))
    runtime = RealRuntime()
    try:
        with pytest.raises(UsageError, match="is a folder") as raised:
            asyncio.run(load_profile(runtime, ToyAdapter(), environment="emulator"))
    finally:
        runtime.close()
    assert f"{tmp_path}/profiles.toml" in str(raised.value)
    assert "chmod" not in str(raised.value)
