"""Nouns and rules. Standard library only: nothing here knows HTTP, SQL, Jupyter or Braket's wire."""
