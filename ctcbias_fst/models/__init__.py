"""The embedded model: features, encoder, adapter; long audio in pieces; its package of files."""
