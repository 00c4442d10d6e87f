"""Keeps freed memory in the process, so that the next step does not have to get it from the kernel page by page.

glibc returns large blocks to the kernel as soon as they are freed. The updates of a network free and allocate the same
tens of megabytes again and again, which costs a page fault for every 4 KiB.

Credits: glibc's ``mallopt`` (the GNU C Library manual, "Malloc Tunable Parameters").
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 32 * 2**20  # bytes; the maximum of M_MMAP_THRESHOLD in glibc
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Make glibc keep freed blocks of up to 32 MiB, for the whole process.

    :return: False where the C library is not glibc
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) and libc.mallopt(M_TRIM_THRESHOLD, NEVER))
