"""Removing a large folder quickly.

Used by all steps that clean up. Images and compilers leave tens of thousands of small files, and some disks take
milliseconds for each one removed, but remove many at once in the same time: so this is done by many threads.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

_THREADS = 32


def remove(root: Path) -> None:
    """Remove a folder and all in it. Links are removed, never followed."""
    files: list[str] = []
    by_depth: dict[int, list[str]] = {}
    for folder, inner, names in os.walk(root, onerror=_raise):
        links = [name for name in inner if Path(folder, name).is_symlink()]
        files += [os.path.join(folder, name) for name in (*names, *links)]  # noqa: PTH118 - many
        by_depth.setdefault(folder.count(os.sep), []).append(folder)
    with ThreadPoolExecutor(_THREADS) as pool:
        # Going through the results raises what went wrong.
        list(pool.map(os.unlink, files))
        for depth in sorted(by_depth, reverse=True):
            list(pool.map(os.rmdir, by_depth[depth]))


def _raise(error: OSError) -> None:
    raise error
