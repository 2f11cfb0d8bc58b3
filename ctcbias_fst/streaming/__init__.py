"""Streams: log-probs as they come, words as soon as no later frame can change them."""
