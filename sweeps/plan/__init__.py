"""A study as a graph of keyed stages; trains nothing."""
