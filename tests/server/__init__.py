"""A real Jupyter Server with the extension, real kernels, the relay and the confinement."""
