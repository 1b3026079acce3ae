"""The parts of `bench_load`: clients that sign, a site with faults, servers with kernels, and what is checked."""
