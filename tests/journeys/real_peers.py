"""Real mail programs as peers: exim4, OpenSMTPD, aiosmtpd, nginx's mail proxy, Postfix's smtp-sink.

Debian's packages of exim4, OpenSMTPD and Postfix are unpacked, never installed: mail systems exclude each other, and nothing of them starts
by itself. Those that have their users and folders built in run in a root folder of their own (mount namespace, chroot), which takes
root. What cannot be had raises unittest.SkipTest with the reason. POSTHORN_PEER_DEBS names a folder with the packages, to be used instead of
downloading them.

A peer has `port`, `received()` -> [(recipient, content)], and close(). Recipients whose name begins with "nobody" are unknown to it.
"""
import glob
import grp
import http.server
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import unittest

from journey import PATIENCE, free_port, wait_until

UNPACKED = pathlib.Path(tempfile.gettempdir()) / "posthorn-real-peers"


def unpacked(name, packages, program):
    """The folder with these packages' files; unpacked once and found again by the next test."""
    root = UNPACKED / name
    if not (root / program).exists():
        given = os.environ.get("POSTHORN_PEER_DEBS")
        UNPACKED.mkdir(exist_ok=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", dir=UNPACKED))
        if not given:
            subprocess.run(["apt-get", "download", "-q", *packages], cwd=work, capture_output=True)
        debs = [deb for package in packages for deb in glob.glob(f"{given or work}/{package}_*.deb")]
        if len(debs) < len(packages):
            shutil.rmtree(work)
            raise unittest.SkipTest(f"Debian's packages {' '.join(packages)} cannot be downloaded, and POSTHORN_PEER_DEBS does not name a folder that has them")
        for deb in debs:
            subprocess.run(["dpkg-deb", "-x", deb, str(work / "root")], check=True)
        try:
            (work / "root").rename(root)
        except OSError:                                             # another test was faster
            pass
        shutil.rmtree(work)
    os.chmod(UNPACKED, 0o755)
    return root


def listens(port):
    """As the kernel says, so that no connection of ours is in the peer's books."""
    local = f":{port:04X} "
    return any(local in line.partition(" 0")[2][:16] and " 0A " in line for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:])


class Program:
    """A process in the foreground, its output kept for when it fails."""

    def start(self, command, port, ready=None, **kwargs):
        self.port = port
        self._output = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen([str(word) for word in command], stdout=self._output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                         start_new_session=True, **kwargs)
        try:
            wait_until(lambda: (ready() if ready else listens(port)) or self._process.poll() is not None, f"{command[0]} listens")
            if self._process.poll() is not None:
                raise AssertionError(f"{command[0]} ended")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()}") from None

    def output(self):
        self._output.seek(0)
        return self._output.read()

    def close(self):
        try:
            os.killpg(self._process.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)
        self._output.close()


class Rooted(Program):
    """A program with a root folder of its own: the machine's /usr, its own /etc and /var. Paths below are as the program sees them."""
    users = ()

    def enter(self, package, over=()):
        """over: folders of the package that take the place of the machine's."""
        if os.getuid() != 0:
            raise unittest.SkipTest("needs root: the program has its users and folders built in")
        apart = subprocess.run(["unshare", "-m", "true"], capture_output=True, text=True, timeout=PATIENCE)
        if apart.returncode != 0:
            raise unittest.SkipTest(f"needs mounts of its own: {apart.stderr.strip()}")
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="posthorn-peer."))
        self.root.chmod(0o755)
        for folder in ("etc", "usr", "package", "dev", "proc", "tmp", "run", "root", "var/mail", "var/log", "var/lib", "var/spool", "home"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "tmp").chmod(0o1777)
        (self.root / "var/run").symlink_to("/run")
        for folder in ("bin", "sbin", "lib", "lib64"):
            (self.root / folder).symlink_to(f"usr/{folder}")
        everybody = ["root:x:0:0:root:/root:/bin/sh", "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin"]
        groups = ["root:x:0:", "mail:x:8:", "nogroup:x:65534:"]
        for number, user in enumerate(self.users, 900):
            everybody.append(f"{user}:x:{number}:{number}::/var/empty:/usr/sbin/nologin")
            groups.append(f"{user}:x:{number}:")
        self.write("etc/passwd", "\n".join(everybody) + "\n")
        self.write("etc/group", "\n".join(groups) + "\n")
        self.write("etc/hosts", "127.0.0.1 localhost\n")
        self.write("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n")
        self.write("etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        for file in ("etc/ld.so.cache", "etc/protocols", "etc/services"):
            if pathlib.Path("/", file).exists():
                shutil.copy(f"/{file}", self.root / file)
        self._mounts = f"mount --bind /usr {self.root}/usr && mount --bind {package} {self.root}/package && mount --bind /dev {self.root}/dev && " + \
                       "".join(f"mount --bind {package}/{folder} {self.root}/{folder} && " for folder in over) + \
                       f"mount -t proc proc {self.root}/proc && exec chroot {self.root} \"$@\""

    def write(self, path, text, mode=0o644):
        (self.root / path).write_text(text)
        (self.root / path).chmod(mode)

    def inside(self, *command):
        return ["unshare", "-m", "sh", "-c", self._mounts, "sh", *command]

    def run(self, *command, **kwargs):
        """One command inside."""
        return subprocess.run(self.inside(*command), capture_output=True, text=True, timeout=PATIENCE, **kwargs)

    def close(self):
        if hasattr(self, "_process"):
            super().close()
        shutil.rmtree(self.root, ignore_errors=True)


class Exim(Rooted):
    """exim4-daemon-light. Mail to there.test is kept; mail to elsewhere goes to `relay`. settings: lines of its main section;
    smtp: lines of its SMTP transport. Its recipients' verdicts come from its ACL."""
    users = ("Debian-exim",)
    path = "/package/usr/sbin/exim4"

    def __init__(self, settings="", smtp="", relay=9):
        self.enter(unpacked("exim4", ["exim4-daemon-light"], "usr/sbin/exim4"))
        port = free_port()
        for folder in ("var/spool/exim4", "var/log/exim4", "var/mail"):
            (self.root / folder).mkdir(exist_ok=True)
            os.chown(self.root / folder, 900, 900)
        self.write("etc/exim.conf", f"""
primary_hostname = exim.test
exim_path = {self.path}
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = /var/spool/exim4
log_file_path = /var/log/exim4/%slog
pid_file_path = /run/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
host_lookup =
helo_try_verify_hosts =
rfc1413_hosts =
tls_advertise_hosts =
acl_smtp_rcpt = recipient
smtp_accept_queue_per_connection = 0
smtp_accept_max = 100
never_users =
deliver_drop_privilege = true
local_from_check = false
keep_environment =
log_selector = +smtp_connection +pipelining
{settings}
begin acl
recipient:
  deny local_parts = ^nobody
       message = unknown user
  accept
begin routers
kept:
  driver = accept
  domains = there.test
  transport = kept
onwards:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = onwards
begin transports
kept:
  driver = appendfile
  directory = /var/mail/kept
  maildir_format
  user = Debian-exim
  batch_max = 1
  envelope_to_add
  create_file = anywhere
onwards:
  driver = smtp
  port = {relay}
  hosts_try_fastopen =
  allow_localhost
{smtp}
begin retry
* * F,1h,5s
""")
        self.start(self.inside(self.path, "-C", "/etc/exim.conf", "-bdf", "-q5s"), port)

    def log(self):
        file = self.root / "var/log/exim4/mainlog"
        return file.read_text(errors="replace") if file.exists() else ""

    def hand_in(self, recipient, content=b"Subject: from exim\r\n\r\nhello\r\n"):
        done = subprocess.run(self.inside(self.path, "-C", "/etc/exim.conf", "-odb", "-f", "sender@exim.test", recipient), input=content, capture_output=True,
                              timeout=PATIENCE)
        if done.returncode != 0:
            raise AssertionError(f"exim4: exit {done.returncode}: {done.stderr.decode()}")

    def received(self):
        found = []
        for file in (self.root / "var/mail/kept/new").glob("*"):
            content = file.read_bytes()
            found.append((re.search(rb"(?m)^Envelope-to: (.*)$", content).group(1).decode(), content))
        return found


class OpenSmtpd(Rooted):
    """OpenSMTPD. Mail to there.test goes to maildirs of one user; who is not in its table is unknown."""
    users = ("opensmtpd", "opensmtpq", "vmail")

    def __init__(self):
        self.enter(unpacked("opensmtpd", ["opensmtpd"], "usr/sbin/smtpd"), ["usr/libexec"])
        port = free_port()
        for folder in ("var/empty", "var/spool/smtpd", "var/lib/opensmtpd/empty", "var/mail/vmail"):
            (self.root / folder).mkdir(parents=True)
        os.chown(self.root / "var/mail/vmail", 902, 902)
        (self.root / "var/spool/smtpd").chmod(0o711)
        self.write("etc/mailname", "opensmtpd.test\n")
        self.write("etc/known", "".join(f"{name}@there.test vmail\n" for name in ("sender", *(f"user{i}" for i in range(100)))))
        # The recipient is named by the folder: %{rcpt}.
        self.write("etc/smtpd.conf", f"""
table known file:/etc/known
smtp max-message-size 35M
listen on 127.0.0.1 port {port} hostname opensmtpd.test
action "keep" mda "/bin/sh -c 'exec cat >/var/mail/vmail/$(date +%%s%%N).$$.%{{rcpt}}'" virtual <known>
match from any for domain "there.test" action "keep"
""")
        self.start(self.inside("/package/usr/sbin/smtpd", "-d", "-f", "/etc/smtpd.conf"), port)

    def log(self):
        return self.output()

    def received(self):
        found = []
        for file in sorted((self.root / "var/mail/vmail").iterdir()):
            found.append((file.name.split(".", 2)[2], file.read_bytes()))
        return found


class Aiosmtpd(Program):
    """aiosmtpd under Debian's Python. options: of its SMTP class, as Python text."""
    script = """
import asyncio, os, sys
from aiosmtpd.smtp import SMTP
folder, port = sys.argv[1], int(sys.argv[2])
count = 0
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("nobody"):
            return "550 5.1.1 unknown user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"
    async def handle_DATA(self, server, session, envelope):
        global count
        for recipient in envelope.rcpt_tos:
            count += 1
            with open(f"{folder}/.new", "wb") as file:
                file.write(envelope.original_content)
            os.rename(f"{folder}/.new", f"{folder}/{count:06}.{recipient}")
        return "250 2.0.0 taken"
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), hostname="aiosmtpd.test", loop=loop, OPTIONS), "127.0.0.1", port, backlog=1024)
    await server.serve_forever()
asyncio.run(main())
"""

    def __init__(self, options="enable_SMTPUTF8=True"):
        if subprocess.run(["/usr/bin/python3", "-c", "import aiosmtpd"], capture_output=True).returncode != 0:
            raise unittest.SkipTest("python3-aiosmtpd is not installed")
        self._dir = tempfile.TemporaryDirectory(prefix="posthorn-aiosmtpd.")
        port = free_port()
        self.start(["/usr/bin/python3", "-c", self.script.replace("OPTIONS", options), self._dir.name, port], port)

    def log(self):
        return self.output()

    def received(self):
        return [(file.name.partition(".")[2], file.read_bytes()) for file in sorted(pathlib.Path(self._dir.name).glob("[0-9]*"))]

    def close(self):
        super().close()
        self._dir.cleanup()


class NginxMail(Program):
    """nginx's mail proxy before a server. It announces `capabilities` whatever that server can do; who is unknown is told by
    its auth helper ("auth") or by the server behind it ("server")."""

    def __init__(self, behind, capabilities='"PIPELINING" "8BITMIME" "SIZE 10485760" "ENHANCEDSTATUSCODES"', unknown="server"):
        module = pathlib.Path("/usr/lib/nginx/modules/ngx_mail_module.so")
        if not shutil.which("nginx", path="/usr/sbin:/usr/bin") or not module.exists():
            raise unittest.SkipTest("nginx and libnginx-mod-mail are not installed")
        self.behind, self.asked = behind, []
        outer = self

        class Helper(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                recipient = self.headers.get("Auth-SMTP-To", "")
                outer.asked.append(recipient)
                self.send_response(200)
                if unknown == "auth" and "<nobody" in recipient:
                    self.send_header("Auth-Status", "No such user")
                    self.send_header("Auth-Error-Code", "550 5.1.1")
                else:
                    self.send_header("Auth-Status", "OK")
                    self.send_header("Auth-Server", "127.0.0.1")
                    self.send_header("Auth-Port", str(behind.port))
                self.end_headers()

            def log_message(self, *words):
                pass
        self._helper = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Helper)
        self._thread = threading.Thread(target=self._helper.serve_forever, daemon=True)
        self._thread.start()
        self._dir = tempfile.TemporaryDirectory(prefix="posthorn-nginx.")
        folder, port = pathlib.Path(self._dir.name), free_port()
        folder.chmod(0o755)
        (folder / "nginx.conf").write_text(f"""
load_module {module};
daemon off;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{}}
mail {{
  server_name nginx.test;
  auth_http 127.0.0.1:{self._helper.server_address[1]}/;
  proxy_pass_error_message on;
  server {{
    listen 127.0.0.1:{port};
    protocol smtp;
    smtp_auth none;
    xclient off;
    smtp_capabilities {capabilities};
  }}
}}
""")
        self.start(["/usr/sbin/nginx", "-e", folder / "error.log", "-p", folder, "-c", folder / "nginx.conf"], port)

    def log(self):
        return (pathlib.Path(self._dir.name) / "error.log").read_text(errors="replace")

    def received(self):
        return self.behind.received()

    def close(self):
        super().close()
        self._helper.shutdown()
        self._helper.server_close()
        self._thread.join(10)
        self._dir.cleanup()
        self.behind.close()


class SmtpSink(Program):
    """Postfix's smtp-sink with its options; every message it takes is a file."""

    def __init__(self, *options):
        root = pathlib.Path(os.environ.get("POSTHORN_POSTFIX", "/nonexistent"))
        if not (root / "usr/sbin/smtp-sink").exists():
            root = unpacked("postfix", ["postfix"], "usr/sbin/smtp-sink")
        self._dir = tempfile.TemporaryDirectory(prefix="posthorn-smtp-sink.")
        port = free_port()
        more = ["-u", "nobody"] if os.getuid() == 0 else []
        pathlib.Path(self._dir.name).chmod(0o777)
        self.start([root / "usr/sbin/smtp-sink", "-d", "%s.", "-h", "smtp-sink.test", *more, *options, f"127.0.0.1:{port}", "100"], port, cwd=self._dir.name,
                   env={**os.environ, "LD_LIBRARY_PATH": f"{root}/usr/lib/postfix"})

    def log(self):
        return self.output()

    def received(self):
        found = []
        for file in sorted(pathlib.Path(self._dir.name).iterdir()):
            head, content = [], file.read_bytes()
            for line in content.splitlines(keepends=True):
                head.append(line)
                if line.startswith(b"X-Rcpt-Args") or line.startswith(b"X-"):
                    continue
                break
            found.extend((match.decode(), content) for match in re.findall(rb"(?m)^X-Rcpt-Args: <(.*?)>", content))
        return found

    def close(self):
        super().close()
        self._dir.cleanup()


class ImapLogin:
    """As much of an IMAP server as saslauthd -a rimap asks: it knows `users` with their passwords."""

    def __init__(self, users):
        self.users, self.listener = users, socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            with stream, stream.makefile("rwb") as file:
                stream.settimeout(PATIENCE)
                file.write(b"* OK IMAP4rev1 ready\r\n")
                file.flush()
                while line := file.readline():
                    said = re.match(rb'(\S+) LOGIN "(.*)" "(.*)"', line.strip(), re.I)
                    if said and self.users.get(said[2].decode()) == said[3].decode():
                        answer = said[1] + b" OK welcome"
                    else:
                        answer = line.split(b" ")[0] + (b" NO no" if said else b" OK bye")
                    file.write(answer + b"\r\n")
                    file.flush()
                    if not said:
                        break

    def close(self):
        self.listener.close()


class Saslauthd(Program):
    """Cyrus SASL's saslauthd, which asks an IMAP server about passwords. Its socket is folder/mux."""

    def __init__(self, folder, users):
        if not shutil.which("saslauthd", path="/usr/sbin:/usr/bin"):
            raise unittest.SkipTest("sasl2-bin is not installed")
        folder.mkdir()
        folder.chmod(0o755)
        self.imap = ImapLogin(users)
        self.start(["/usr/sbin/saslauthd", "-d", "-a", "rimap", "-O", f"127.0.0.1/{self.imap.port}", "-m", str(folder), "-n", "2"], None, ready=(folder / "mux").exists)

    def close(self):
        self.imap.close()
        super().close()


def sasldb(file, realm, users):
    """Cyrus SASL's database of passwords."""
    program = shutil.which("saslpasswd2", path="/usr/sbin:/usr/bin")
    if not program:
        raise unittest.SkipTest("sasl2-bin is not installed")
    for name, password in users.items():
        subprocess.run([program, "-p", "-c", "-f", str(file), "-u", realm, name], input=password.encode(), check=True)
    file.chmod(0o644)


class Dovecot(Program):
    """Dovecot's auth service alone, on the Unix socket `socket` and on a port; it knows `users` with their passwords.
    Who fails is not made to wait: there is one client address, and each refused login would hold up the next by up to 15 s."""

    def __init__(self, socket, users, mechanisms="plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256"):
        if not shutil.which("dovecot", path="/usr/sbin:/usr/bin"):
            raise unittest.SkipTest("dovecot-core is not installed")
        self._dir = tempfile.TemporaryDirectory(prefix="posthorn-dovecot.")
        folder = pathlib.Path(self._dir.name)
        folder.chmod(0o755)
        (folder / "users").write_text("".join(f"{name}:{{PLAIN}}{password}\n" for name, password in users.items()))
        me, group = (("dovecot", "dovecot") if os.getuid() == 0 else (pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name))
        self.port = free_port()
        (folder / "conf").write_text(f"""
protocols =
listen = 127.0.0.1
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/log
ssl = no
disable_plaintext_auth = no
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
default_internal_user = {me}
default_internal_group = {group}
default_login_user = {me}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=12345 gid=12345 home=/nonexistent
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service auth {{
  unix_listener {socket} {{
    mode = 0666
  }}
  inet_listener {{
    port = {self.port}
  }}
}}
""")
        self.start(["/usr/sbin/dovecot", "-F", "-c", str(folder / "conf")], self.port)
        wait_until(lambda: pathlib.Path(socket).exists(), "Dovecot's socket")

    def log(self):
        path = pathlib.Path(self._dir.name) / "log"
        return (path.read_text(errors="replace") if path.exists() else "") + self.output()

    def close(self):
        super().close()
        self._dir.cleanup()
