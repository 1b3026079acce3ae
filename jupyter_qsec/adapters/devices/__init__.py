"""The devices as the gateway offers them: capabilities as Braket publishes them, limits, and the price sheet."""
