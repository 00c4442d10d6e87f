"""Memory that is freed stays with the process, so that the next step need not fetch it from the kernel page by page.

glibc gives large blocks back to the kernel as soon as they are freed. A network's update frees and asks again for the
same tens of megabytes, and every page of 4 KiB then costs a fault.

Credits: glibc's ``mallopt`` (the GNU C Library manual, "Malloc Tunable Parameters").
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST_BLOCK = 32 * 2**20  # the most that glibc takes for M_MMAP_THRESHOLD
NEVER = 2**31 - 1


def keep_freed_memory() -> bool:
    """Ask glibc to keep freed blocks of up to 32 MiB, for the whole process.

    :return: False where there is no glibc
    """
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    return bool(libc.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK) and libc.mallopt(M_TRIM_THRESHOLD, NEVER))
