"""Shortages on purpose: a small disk, a read-only folder. For the journeys about them.

A disk is a tmpfs in a mount namespace of this process: as root, or in a user namespace of one's own where the system allows that.
"""
import contextlib
import ctypes
import os
import pathlib
import unittest

_libc = ctypes.CDLL(None, use_errno=True)
_NEWNS, _NEWUSER = 0x20000, 0x10000000
_RDONLY, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_DETACH = 2


def _call(what, *arguments):
    if getattr(_libc, what)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


def _mount(source, target, kind, flags, options=None):
    _call("mount", os.fsencode(source), os.fsencode(target), os.fsencode(kind), ctypes.c_ulong(flags), options and options.encode())


def enter_namespace():
    """Mounts of this process are its own from here on. Before the first thread: a user namespace wants that. Skips where it cannot be."""
    uid, gid = os.getuid(), os.getgid()
    try:
        _call("unshare", _NEWNS if uid == 0 else _NEWNS | _NEWUSER)
        if uid != 0:
            pathlib.Path("/proc/self/setgroups").write_text("deny")
            pathlib.Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
            pathlib.Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        _mount("none", "/", "none", _REC | _PRIVATE)
    except OSError as error:
        raise unittest.SkipTest(f"a mount namespace is needed, and this system gives none: {error}") from None


def small_disk(folder, octets):
    about = folder.stat()
    _mount("tmpfs", folder, "tmpfs", 0, f"size={octets},mode={about.st_mode & 0o7777:o},uid={about.st_uid},gid={about.st_gid}")


def unmount(folder):
    _call("umount2", os.fsencode(folder), _DETACH)


@contextlib.contextmanager
def read_only(folder):
    """Whoever opens something below the folder from now on cannot write it; files that are open are not concerned."""
    _mount(folder, folder, "none", _BIND)
    try:
        _mount("none", folder, "none", _REMOUNT | _BIND | _RDONLY)
        yield
    finally:
        unmount(folder)


@contextlib.contextmanager
def full(folder, spare=0):
    """Not an octet is left on the folder's disk, or `spare` of them."""
    path = folder / "ballast"
    with open(path, "wb", buffering=0) as file:
        about = os.statvfs(folder)
        if spare:
            file.write(b"\0" * max(0, about.f_bavail * about.f_frsize - spare))
        for block in () if spare else (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * block):
                    pass
    try:
        yield
    finally:
        path.unlink()

