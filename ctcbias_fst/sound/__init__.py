"""How names sound, and how else what sounds like them may be spelt.

`pronounce.Pronouncer` turns names into phones: what the user says, then a lexicon, then
letters, numbers and an n-best G2P. `variants.SpellingVariants` turns them into other spellings
that sound alike. Their data, and how it was made: docs/pronunciations.md.
"""
