"""The process that queries' processes are forked from: it has the engine loaded, no thread, no key and no secret.

``python -m logflume.explore.engine.zygote FD``: over the socket ``FD`` come messages with one descriptor each, the
stream of a query; for each a child is forked, and its pidfd sent back. It ends when the socket does, and all its
children with it. A fork takes some milliseconds, where a start of the engine takes half a second.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from logflume.explore.engine import process


def main(control: socket.socket) -> None:
    """Fork for each that asks, until nobody can ask any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it closes the socket
    process.measure_stack()
    me = os.getpid()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not message:
            return
        stream = socket.socket(fileno=descriptors[0])
        child = os.fork()
        if child == 0:
            control.close()
            code = 1
            try:
                code = process.main(stream, parent=me)
            finally:
                os._exit(code)
        stream.close()
        handle = os.pidfd_open(child)
        try:
            socket.send_fds(control, [b"p"], [handle])
        finally:
            os.close(handle)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
