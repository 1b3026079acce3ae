"""`jupyter qsec scan` and `jupyter qsec baseline`: secrets in files, notebooks and Git's history."""
