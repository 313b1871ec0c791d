"""Everything that the README claims, as commands that print tables."""
