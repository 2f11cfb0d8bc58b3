"""Searching with k2: what may be taken at which frame, what it scores, the lattice of it."""
