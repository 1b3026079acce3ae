"""The migrations, oldest first by name: each module takes the schema one version further."""
