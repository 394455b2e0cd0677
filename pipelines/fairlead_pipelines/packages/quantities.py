"""Kubernetes quantities, as far as KFP takes them: cores and bytes."""

import re

_CORES = re.compile(r"^(?:[0-9]*[.])?[0-9]+m?$")
_SIZE = re.compile(r"^([0-9]+)([KMGTPE]i?)?$")
_THOUSANDTHS = 1000


def cores(text: str) -> float:
    """Reads an amount of CPU.

    Args:
        text: Such as 2, 0.5 or 500m.

    Returns:
        Cores.

    Raises:
        ValueError: It is none.
    """
    if not _CORES.match(text):
        raise ValueError(f"{text!r} is no amount of CPU; write cores (2, 0.5) or thousandths (500m)")
    return float(text[:-1]) / _THOUSANDTHS if text.endswith("m") else float(text)


def size(text: str) -> int:
    """Reads an amount of memory or disk.

    Args:
        text: Such as 512Mi, 4Gi or 1G.

    Returns:
        Bytes.

    Raises:
        ValueError: It is none that KFP takes.
    """
    found = _SIZE.match(text)
    if not found:
        raise ValueError(f"{text!r} is no size; write a whole number and K, M, G, T (thousands) or Ki, Mi, Gi, Ti")
    unit = found[2] or ""
    power = " KMGTPE".index(unit[0]) if unit else 0
    base = 1024 if unit.endswith("i") else 1000
    return int(found[1]) * int(base**power)
