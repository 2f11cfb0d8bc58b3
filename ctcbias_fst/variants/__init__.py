"""How else what sounds like a name may be spelt (G2G), and the tables that are shipped for it."""
