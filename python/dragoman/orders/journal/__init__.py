"""The journal: every order intent, durable before its first byte is sent, and everything learnt about it since."""

from dragoman.orders.journal.folder import journal_folder
from dragoman.orders.journal.format import Kind, Record
from dragoman.orders.journal.index import open_index
from dragoman.orders.journal.journal import Journal
from dragoman.orders.journal.reading import read_journal, verify_journal
from dragoman.orders.journal.scan import Damage, Scan

__all__ = [
    "Damage",
    "Journal",
    "Kind",
    "Record",
    "Scan",
    "journal_folder",
    "open_index",
    "read_journal",
    "verify_journal",
]
