"""Transcribing whole corpora: jobs that go past bad utterances, and resume."""
