"""A folder of a test, and what was started from it: gone with the test, however that ends. A mail system is a daemon: where its test is killed, or
runs out of time, nobody else ends it."""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

# In the environment of all that this program starts.
NAME, VALUE = "POSTHORN_STARTED_BY", f"{os.getpid()}.{time.time_ns()}"
GRACE = 10                                # seconds from SIGTERM to SIGKILL
watcher = None
one_at_a_time = threading.Lock()         # of two watchers one would be forgotten, and take that for the end of the test


def folder(prefix):
    """A new folder. When this program has ended, what it started or what has this folder in its command line is ended too, and the folder removed
    (kept where POSTHORN_KEEP is set)."""
    global watcher
    with one_at_a_time:
        if watcher is None:
            # It leaves our process tree at once: who ends a test may end its children as well. Of ours it keeps only this pipe, which ends with us.
            watcher = subprocess.Popen([sys.executable, "-I", __file__, f"{NAME}={VALUE}"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       start_new_session=True, cwd="/", env={name: value for name, value in os.environ.items() if name != NAME})
            watcher.wait()
        made = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
        watcher.stdin.write(os.fsencode(made) + b"\n")
        watcher.stdin.flush()
        return made


def remaining(mark, folders):
    """Processes that carry the mark, or name one of the folders."""
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0") or any(folder in (entry / "cmdline").read_bytes() for folder in folders):
                    yield int(entry.name)
            except OSError:
                continue                  # it has ended, or is somebody else's


def watch(mark):
    folders = [line.rstrip(b"\n") for line in sys.stdin.buffer]            # until the test ends
    end = time.monotonic() + GRACE
    while (left := list(remaining(mark, folders))) and time.monotonic() < end + GRACE:
        for pid in left:
            try:
                os.kill(pid, signal.SIGTERM if time.monotonic() < end else signal.SIGKILL)
            except OSError:
                continue
        time.sleep(0.2)
    if "POSTHORN_KEEP" not in os.environ:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    if os.fork() == 0:
        watch(os.fsencode(sys.argv[1]))
else:
    os.environ[NAME] = VALUE
