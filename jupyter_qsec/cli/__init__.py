"""The command `jupyter-qsec`, which Jupyter also finds as `jupyter qsec`."""
