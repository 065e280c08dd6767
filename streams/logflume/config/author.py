"""Who publishes, as the history names them."""

from __future__ import annotations

import getpass
import os
import socket


def author() -> str:
    """Return ``user@machine``; the user's number where it has no name, as in many containers."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname()}"
