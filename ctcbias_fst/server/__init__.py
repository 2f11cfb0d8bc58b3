"""A server: recordings, streams and lists of names over HTTP and websockets."""
