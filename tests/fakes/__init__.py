"""Fakes that implement the ports, worlds wired from them, and the attacks that several suites share."""
