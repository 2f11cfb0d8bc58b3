"""Audio as it is in the world: files, streams, samples; their rates, channels and levels."""
