"""The names of streams: what is one, and how it reads."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_NAME_SIZE", "name_fault", "split_name"]

#: The most UTF-8 bytes that a stream's name may have: what one length byte can say.
MAX_NAME_SIZE: Final = 255


def name_fault(name: str) -> str | None:
    """Return what makes `name` no stream's name, or None where it is one."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "the stream's name has a lone surrogate"
    if not 0 < size <= MAX_NAME_SIZE:
        return f"a stream's name has 1 to {MAX_NAME_SIZE} bytes, not {size}"
    return None


def split_name(name: str) -> tuple[str, str | None]:
    """Split a name, which reads like a relative URL, into its path and its query."""
    name = name.partition("#")[0]
    name_path, question_mark, query = name.partition("?")
    return name_path, query if question_mark else None
