"""Searching with k2: what may be taken at which frame, the lattice, the LM in it, n-best, words."""
