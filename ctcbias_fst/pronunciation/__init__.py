"""How names sound: what the user says, a lexicon, letters, numbers and an n-best G2P.

Their data, and how it was made: docs/pronunciations.md.
"""
