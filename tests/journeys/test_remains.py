"""A test that is killed leaves nothing behind."""
import os
import pathlib
import signal
import subprocess
import sys

from journey import unittest, wait_until

# A mail system, which is a daemon; and a program that names no folder, in a session of its own.
TEST = """
import subprocess, sys
from journey import Instance
instance = Instance()
other = subprocess.Popen(["sleep", "1000"], start_new_session=True)
print(instance.dir, instance.master_pid(), other.pid, flush=True)
sys.stdin.read()
"""

# Folders that are asked for at once; what is said last is that a child of the test still runs.
AT_ONCE = """
import concurrent.futures, subprocess, sys, threading, time
import remains
child = subprocess.Popen(["sleep", "1000"])
gate = threading.Barrier(8)
def ask(_):
    gate.wait()
    return remains.folder("posthorn-remains.")
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    folders = set(pool.map(ask, range(8)))
time.sleep(1)
print(len(folders), child.poll(), flush=True)
"""


def runs(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Remains(unittest.TestCase):
    def test_what_a_killed_test_started_ends_and_its_folder_is_removed(self):
        for how in (signal.SIGKILL, signal.SIGTERM):
            test = subprocess.Popen([sys.executable, "-c", TEST], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=pathlib.Path(__file__).parent,
                                    env={name: value for name, value in os.environ.items() if name != "POSTHORN_KEEP"})
            folder, *pids = test.stdout.readline().split()
            self.assertTrue(all(runs(pid) for pid in pids))
            self.assertTrue(pathlib.Path(folder).exists())
            test.send_signal(how)
            test.wait()
            wait_until(lambda: not any(runs(pid) for pid in pids), "the mail system and the other program end")
            wait_until(lambda: not pathlib.Path(folder).exists(), "the folder is gone")
            test.stdin.close()
            test.stdout.close()

    def test_threads_that_ask_at_once_have_one_watcher(self):
        told = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, cwd=pathlib.Path(__file__).parent, timeout=60)
        self.assertEqual(told.stdout, "8 None\n", told)
