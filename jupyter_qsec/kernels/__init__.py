"""What surrounds a kernel: the provisioner that starts it, its environment and lease, its relay, its confinement."""
