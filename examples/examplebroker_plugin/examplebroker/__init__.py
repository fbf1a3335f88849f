"""Example Broker: an adapter as a third party ships it."""

from examplebroker.adapter import ExampleBroker

__all__ = ["ExampleBroker"]
