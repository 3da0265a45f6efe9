"""The lockstep engine: many runs at once, position by position, in packed words."""
