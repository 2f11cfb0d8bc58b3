"""N-gram language models: files, training, and their composition with lattices.

``arpa`` and ``ngram`` read and write models, ``train`` and ``estimate`` make them from text,
``tables`` scores on a device, ``compose`` applies a model to a lattice.
"""
