"""Schema migrations, run by `database.migrate`. Each is one module in `versions`; released ones never change."""
