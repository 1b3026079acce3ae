"""The outside world behind the ports of `application`: store, policies, keys, devices, simulators, result files."""
