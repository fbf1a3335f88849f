"""For adapter authors: drive a flow with scripted replies, without a session, a socket or a clock."""

from dragoman.testing.drive import Driven, ScriptedContext, ScriptError, drive, reply

__all__ = ["Driven", "ScriptError", "ScriptedContext", "drive", "reply"]
