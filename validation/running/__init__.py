"""Plans and runs of a validation."""
