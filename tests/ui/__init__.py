"""A real browser before a real JupyterLab."""
