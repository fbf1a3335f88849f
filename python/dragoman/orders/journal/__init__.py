"""The journal: every order intent, durable before its first byte is sent, and everything learnt about it since."""

from dragoman.orders.journal.folder import journal_folder
from dragoman.orders.journal.format import Kind, Record
from dragoman.orders.journal.journal import Journal
from dragoman.orders.journal.scan import Damage

__all__ = ["Damage", "Journal", "Kind", "Record", "journal_folder"]
