"""Find and remove secrets in text, notebooks and messages. Pure: no I/O and no framework."""
