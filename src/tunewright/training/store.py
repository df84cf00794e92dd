"""Rows of numbers on disk, by what they were computed from; each is computed once, whoever asks for it."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from ..files import cache_folder, digest, make_room, replacing

KEY = 16  # bytes
DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile)

Floats = NDArray[np.float32]


def key_of(ids: Sequence[int], types: Sequence[int] | None = None, *more: int) -> bytes:
    """Names what is computed from a window of tokens by the very token ids (N7)."""
    numbers = np.array([len(more), *more, len(ids), *ids, *(types or ())], dtype=np.int64)
    return blake2b(numbers.tobytes(), digest_size=KEY).digest()


class Store:
    """(d,) fp32 for each key, in files that appear whole and never change: processes may read and add at once.

    A file is an npz of keys (n, 16) and values (n, d), with checksums; a damaged one is deleted.

    Args:
        kind: a folder in the cache folder.
        origin: what the rows depend on besides their keys; another origin has another folder.
    """

    def __init__(self, kind: str, origin: dict[str, Any]) -> None:
        self.folder = cache_folder() / kind / digest(origin)[:32]

    def get(self, keys: Sequence[bytes]) -> tuple[Floats | None, NDArray[np.bool_]]:
        """(N, d) the rows of N different keys, as far as they are known, or None; (N,) which are known."""
        places = {key: place for place, key in enumerate(keys)}
        known, values = np.zeros(len(keys), dtype=np.bool_), None
        for path in self.folder.glob("*.npz"):
            if known.all():
                break
            with forgetting(path), np.load(path, allow_pickle=False) as file:
                there = [places.get(key) for key in listed(file["keys"])]
                at = [place for place, wanted in enumerate(there) if wanted is not None]
                if at:
                    rows = file["values"]
                    values = np.empty((len(keys), rows.shape[1]), np.float32) if values is None else values
                    chosen = [wanted for wanted in there if wanted is not None]
                    values[chosen], known[chosen] = rows[at], True
                    os.utime(path)  # what is used stays
        return values, known

    def add(self, keys: Sequence[bytes], values: Floats) -> None:
        """Keeps rows for the next one who asks; without room they are computed again."""
        content: dict[str, Any] = {"keys": np.frombuffer(b"".join(keys), np.uint8).reshape(-1, KEY), "values": values}
        with contextlib.suppress(OSError):
            make_room(values.nbytes)
            with replacing(self.folder / f"{uuid4().hex}.npz") as beside, open(beside, "wb") as file:
                np.savez(file, allow_pickle=False, **content)


def listed(keys: NDArray[np.uint8]) -> list[bytes]:
    content = keys.tobytes()
    return [content[start : start + KEY] for start in range(0, len(content), KEY)]


@contextlib.contextmanager
def forgetting(path: Path) -> Any:
    """Deletes a file that turns out to be damaged."""
    try:
        yield
    except DAMAGE:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
