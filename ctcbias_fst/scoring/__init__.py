"""What transcripts are worth: error rates, names found, and comparisons."""
