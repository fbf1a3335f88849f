"""Instrument master and identity, quotes, live books, and how ticks are handed out."""

from dragoman.market.chain import ChainRow, OptionChain
from dragoman.market.handout import MarketData
from dragoman.market.master import InstrumentMaster, MasterConflict

__all__ = ["ChainRow", "InstrumentMaster", "MarketData", "MasterConflict", "OptionChain"]
