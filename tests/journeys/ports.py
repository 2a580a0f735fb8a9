"""Ports for servers of tests and benchmarks."""
import random
import socket

GIVEN = set()


def free_port():
    """A port that nobody listens on, and that was not given before. Below those that the kernel gives to connections: such a one could be in use by
    the time somebody listens there."""
    while True:
        port = random.randint(10240, 32767)
        if port in GIVEN:
            continue
        GIVEN.add(port)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)       # a connection of before that is over does not count
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
