"""N-gram language models: ARPA files, training, and tables to look contexts up in."""
