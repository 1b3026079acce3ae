"""Wires the adapters into the use cases: the one module of the gateway wing that knows every concrete class."""
