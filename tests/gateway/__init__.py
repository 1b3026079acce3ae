"""A real gateway behind real sockets, called by the real SDK, by attackers and by its control API."""
