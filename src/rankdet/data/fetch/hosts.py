"""Addresses: what leads to the bytes and not to a page for people, and what may be trusted."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from rankdet.data.fetch.table import Download
from rankdet.errors import InputError

_DRIVE = re.compile(r"^https://drive\.google\.com/(?:file/d/|uc\?(?:.*&)?id=)([\w-]+)")
_BY_HAND = ("https://1drv.ms/",)


def direct(url: str) -> str | None:
    """Return the address of the bytes behind ``url``; None if only a person gets them.

    For files above some 100 MB Google Drive asks for a confirmation, which `confirm` gives; over
    its quota it sends a page, which the verification names.
    """
    if url.startswith(_BY_HAND):
        return None
    drive = _DRIVE.match(url)
    if drive:
        host = "https://drive.usercontent.google.com/download"
        return f"{host}?id={drive[1]}&export=download&confirm=t"
    return url


class Unproven(InputError):
    """An address without encryption, of a file whose content nothing else proves."""


def require_proof(row: Download, url: str) -> None:
    """Check that what comes from ``url`` can be trusted: by https, or by a whole known sha256.

    The eight digits in the name of a model file are no proof, since other content with the same
    ones is found in minutes.

    Raises:
        Unproven: if it comes by http over a network, and its sha256 is not known.
    """
    if urlsplit(url).scheme == "https" or len(row.sha256) == 64 or _is_this_machine(url):
        return
    raise Unproven(
        f"an https address of {row.file}, whose whole sha256 is not known",
        url,
        "use an https address, or get the file in a way you trust and put it into the inbox",
    )


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
