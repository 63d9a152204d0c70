"""Maps: pure functions from a raw map to what is shown or measured."""
