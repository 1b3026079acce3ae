"""The Jupyter Server extension: REST and events for the panel, session limits, the gateway's supervision."""
