"""A port for a local AWS."""

import contextlib
import random
import socket


def free_port() -> int:
    """Returns a port that is free, and that no kernel hands out by itself before it is taken: Linux does so from 32768 on."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
