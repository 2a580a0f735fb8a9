"""A copy of this machine's file system, booted by its own systemd in namespaces: for systemd.py, in the namespaces that systemd.sh makes."""
import os
import pathlib
import shutil
import subprocess
import time

# What would reach out of the namespaces, or is of no use in them.
WITHOUT = ["sys_time", "sys_module", "sys_rawio", "syslog", "wake_alarm", "mac_admin", "mac_override"]
MASKED = ["systemd-udevd.service", "systemd-modules-load.service", "systemd-firstboot.service", "systemd-random-seed.service", "systemd-pstore.service", "systemd-binfmt.service",
          "systemd-hwdb-update.service", "systemd-repart.service", "kmod-static-nodes.service", "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount", "sys-fs-fuse-connections.mount",
          "sys-kernel-config.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "getty.target", "systemd-logind.service", "systemd-journald-audit.socket"]
BOOT = """
set -eu
root=$1
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
  touch "$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
exec setpriv --bounding-set "$2" --inh-caps=-all chroot "$root" /lib/systemd/systemd --system --log-target=journal --show-status=false
"""


class CannotBoot(Exception):
    pass


class Machine:
    """Booted and taken down as often as one likes: its files stay."""

    def __init__(self, work, cgroup, name):
        self.work, self.cgroup, self.name = pathlib.Path(work), pathlib.Path(cgroup), name
        self.folder = self.work / name
        self.root = self.folder / "root"
        self.starter, self.init = None, 0
        self.boots = 0
        self.folder.mkdir()
        try:
            self.mount("-t", "tmpfs", "tmpfs", self.folder)
            for each in ("upper", "over", "root"):
                (self.folder / each).mkdir()
            self.mount("-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={self.folder}/upper,workdir={self.folder}/over", self.root)
        except subprocess.CalledProcessError as failure:
            raise CannotBoot(f"no copy of the file system to be had: {failure}") from failure
        self.empty()

    @staticmethod
    def mount(*words):
        subprocess.run(["mount", *map(str, words)], check=True, capture_output=True)

    def at(self, path):
        return self.root / str(path).lstrip("/")

    def empty(self):
        """No service of this machine's, no mail system, nobody's name."""
        system = self.at("/etc/systemd/system")
        shutil.rmtree(system)
        system.mkdir()
        for unit in MASKED:
            (system / unit).symlink_to("/dev/null")
        (system / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
        for script in self.at("/etc").glob("rc?.d/[SK]*"):
            script.unlink()
        for path in ("/etc/postfix", "/var/spool/postfix", "/var/lib/postfix", "/etc/aliases", "/etc/aliases.db", "/usr/sbin/policy-rc.d", "/etc/fstab", "/var/log/journal"):
            path = self.at(path)
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.exists() or path.is_symlink():
                path.unlink()
        for state in self.at("/var/lib/systemd/deb-systemd-helper-enabled").glob("**/post*"):
            state.unlink()
        self.at("/etc/hostname").write_text("host.example.test\n")
        self.at("/etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 host.example.test host\n")
        self.at("/etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
        self.at("/var/log/journal").mkdir()                        # it outlasts a boot
        for path in self.work.glob("*.deb"):
            shutil.copy(path, self.at("/root"))
        for words in (["userdel", "postfix"], ["groupdel", "postfix"], ["groupdel", "postdrop"]):
            subprocess.run(["chroot", str(self.root), *words], capture_output=True, check=False)
        for user in ("ann", "bob"):
            subprocess.run(["chroot", str(self.root), "useradd", "-m", user], check=True)

    def boot(self):
        """Returns when systemd says that all is started."""
        place = self.cgroup / f"{self.name}.{self.boots}"
        self.boots += 1
        place.mkdir()
        # A process is in the cgroup before it has a namespace of its own.
        self.starter = subprocess.Popen(
            ["sh", "-ec", 'echo 0 >"$1/cgroup.procs"; shift; exec unshare --cgroup --pid --mount --uts --ipc --fork --kill-child sh -c "$@"', "boot", str(place), BOOT, "boot", str(self.root),
             ",".join("-" + each for each in WITHOUT)],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "container": "posthorn-test", "LANG": "C.UTF-8"}, stdin=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 60
        while True:
            if self.starter.poll() is not None:
                raise CannotBoot(f"systemd ended with {self.starter.returncode}")
            children = pathlib.Path(f"/proc/{self.starter.pid}/task/{self.starter.pid}/children").read_text().split()
            if children and pathlib.Path(f"/proc/{children[0]}/comm").read_text() == "systemd\n":
                self.init = int(children[0])
                if self.run("systemctl", "is-system-running", "--wait", check=False).stdout.strip() in ("running", "degraded"):
                    return
            if time.monotonic() > end:
                raise CannotBoot("systemd does not come up")
            time.sleep(0.1)

    def words(self, words, user=None):
        who = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
        return ["nsenter", "-t", str(self.init), "--mount", "--uts", "--ipc", "--pid", "--cgroup", "--root", "--wd=/", *who, *map(str, words)]

    def run(self, *words, user=None, check=True, text=None, timeout=200):
        ran = subprocess.run(self.words(words, user), input=text, stdin=subprocess.DEVNULL if text is None else None, capture_output=True, text=True, errors="replace", timeout=timeout,
                             env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}, check=False)
        if check and ran.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, words))}: exit status {ran.returncode}: {ran.stdout[-3000:]}{ran.stderr[-3000:]}")
        return ran

    def power_off(self):
        """As a machine is taken down: every unit is told to stop."""
        begun = time.monotonic()
        self.run("systemctl", "poweroff", check=False)
        self.starter.wait(150)
        self.init = 0
        return time.monotonic() - begun

    def pull_the_plug(self):
        if self.starter and self.starter.poll() is None:
            self.starter.kill()
            self.starter.wait(60)
        self.init = 0
