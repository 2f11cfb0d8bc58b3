"""Training a SentencePiece tokenizer whose column 0 is the CTC blank."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import sentencepiece

from ctcbias_fst.errors import InputError
from ctcbias_fst.files import atomic_path
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.text_files import read_lines


def train_tokenizer(texts: Sequence[Path], target: Path, size: int = 500) -> int:
    """Train a unigram model (Kudo 2018) on text files, one sentence per line.

    Args:
        texts: files; every line is normalised first.
        target: where the ``.model`` file goes.
        size: pieces in all, the blank (id 0) and the unknown token (id 1) included.

    Returns:
        the number of sentences it was trained on.

    Raises:
        InputError: a file cannot be read, or the text is too little for so many pieces.
    """
    sentences = [normalise(line) for path in texts for line in read_lines(path)]
    sentences = [sentence for sentence in sentences if sentence]
    with atomic_path(target) as temporary:
        try:
            with temporary.open("wb") as stream:
                sentencepiece.SentencePieceTrainer.train(
                    sentence_iterator=iter(sentences),
                    model_writer=stream,
                    vocab_size=size,
                    model_type="unigram",
                    character_coverage=1.0,
                    pad_id=0,
                    pad_piece="<blk>",
                    unk_id=1,
                    bos_id=-1,
                    eos_id=-1,
                    minloglevel=2,
                )
        except RuntimeError as error:
            raise InputError(
                f"{len(sentences)} sentences do not yield {size} pieces: {error}; "
                "give more text or a smaller size"
            ) from error
    return len(sentences)
