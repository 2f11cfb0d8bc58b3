"""Graphs: the tree of a list's names, the decoding graph around it, and what its labels mean."""
