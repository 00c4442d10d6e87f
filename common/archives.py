"""Zip files from elsewhere: a bound on what they hold, checked before anything is unpacked."""

from __future__ import annotations

import zipfile

MOST_MEMBERS = 1_000_000
RATIO = 100  # of the size unpacked to the size of the archive; pictures and arrays of pictures stay below 20
FREE = 2**28  # bytes unpacked for which the ratio does not count


def check_inflated(archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive that inflates out of all proportion.

    A member never inflates to more than its entry says.

    :param size: of the archive, bytes
    :raises ValueError: when it has too many members, or they are too large
    """
    members = archive.infolist()
    if len(members) > MOST_MEMBERS:
        raise ValueError(f"it has {len(members):,} members, more than {MOST_MEMBERS:,}")
    unpacked = sum(member.file_size for member in members)
    if unpacked > FREE + RATIO * size:
        raise ValueError(f"{size / 1e6:,.1f} MB inflate to {unpacked / 1e6:,.0f} MB, more than {RATIO} times as much")
