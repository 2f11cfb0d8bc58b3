"""Which names of a long list an utterance may have, by its phones and its subwords."""
