"""The relay: a process between a kernel and everybody else, which sees every message and removes secrets.

`python -m jupyter_qsec.kernels.relay` reads its configuration (with keys) as one JSON line on standard input and writes
events as JSON lines on standard output. It ends when its standard input is closed.
"""
