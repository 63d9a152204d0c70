"""Prototypes of a class: the bank and its file, clustering, and building from pictures."""
