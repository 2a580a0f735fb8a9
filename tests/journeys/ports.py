"""Ports for servers of tests and benchmarks."""
import fcntl
import os
import pathlib
import random
import socket
import tempfile

FOLDER = pathlib.Path(tempfile.gettempdir()) / "posthorn-ports"
GIVEN = {}


def claimed(port):
    """A lock that is ours until we end; none where another test that runs now was given the port, and may not listen there yet."""
    if not FOLDER.exists():
        FOLDER.mkdir(exist_ok=True)
        FOLDER.chmod(0o777)                                               # tests run as several users
    file = os.open(FOLDER / str(port), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file
    except OSError:
        os.close(file)


def free_port():
    """A port that nobody listens on, and that was given to nobody who still runs. Below those that the kernel gives to connections: such a one could be in use by
    the time somebody listens there."""
    while True:
        port = random.randint(10240, 32767)
        if port in GIVEN or (lock := claimed(port)) is None:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)       # a connection of before that is over does not count
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                os.close(lock)
                continue
        GIVEN[port] = lock
        return port
