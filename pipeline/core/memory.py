"""The memory of this machine, and numbers of bytes as people write them."""

import os


def memory_bytes() -> int:
    """Return the physical memory of this machine in bytes."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 << 30


def readable(size: int) -> str:
    """Write a number of bytes with the prefix that suits it: 1 kB is 1000 bytes."""
    value, units = float(size), ["bytes", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value, units = value / 1000, units[1:]
    whole = value >= 9.95 or units[0] == "bytes"
    return f"{value:,.0f} {units[0]}" if whole else f"{value:.1f} {units[0]}"
