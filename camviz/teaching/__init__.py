"""Classifiers that are taught from a few pictures of each kind, on top of a network's features."""
