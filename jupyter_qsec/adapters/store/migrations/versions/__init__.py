"""See `migrations`."""
