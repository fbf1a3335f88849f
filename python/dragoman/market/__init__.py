"""Instrument master and identity, quotes, live books, and how ticks are handed out."""

from dragoman.market.chain import ChainRow, OptionChain
from dragoman.market.handout import MarketData
from dragoman.market.master import InstrumentMaster, MasterConflict
from dragoman.market.master_cache import MasterCache

__all__ = ["ChainRow", "InstrumentMaster", "MarketData", "MasterCache", "MasterConflict", "OptionChain"]
