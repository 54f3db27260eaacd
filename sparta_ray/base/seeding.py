"""The one source of randomness: seeds derived from a base seed and a named stream."""

import hashlib


def derive_seed(base: int, stream: str, *keys: int | str) -> int:
    """Return a 63-bit seed that depends on every argument and on nothing else.

    Streams with different names or keys are independent, on every machine and Python version,
    so a draw can be repeated from its name alone.

    Args:
        base: The run's seed.
        stream: What the draw is for, such as ``"plan"`` or ``"dropout"``.
        keys: What tells this draw from others of its stream, such as the epoch.
    """
    text = "\x1f".join([str(base), stream, *map(_text, keys)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _text(key: int | str) -> str:
    """Return a key's text: a number and a word never agree, a NumPy integer is a number."""
    return repr(key if isinstance(key, str) else int(key))
