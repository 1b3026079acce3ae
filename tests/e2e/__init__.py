"""The whole path as a person walks it: real servers, kernels, gateways and the real command line."""
