#!/usr/bin/env python3
"""How tables reach their servers: TLS, with and without certificates that hold; SASL; option files; links that break amid an answer. OpenLDAP, MariaDB and
PostgreSQL as in databases.py, the same questions to Debian's postmap and to ours. What breaks is an error, never "not there", and the next question is answered.

usage: database_connections.py OUR_POSTMAP      exit 77 (skipped) where the servers or Debian's packages cannot be had
"""
import concurrent.futures
import contextlib
import os
import pathlib
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading

sys.dont_write_bytecode = True
from databases import ROWS, MariaDB, OpenLDAP, PostgreSQL, frame, remains, wait_until  # noqa: E402
from ports import free_port  # noqa: E402

USERS = "users"                                                  # below dc=test: who may log in by SASL
SQL = "query = SELECT target FROM alias WHERE name = '%s' ORDER BY target\n"


class Authority:
    """Certificates for servers and clients, and one authority that vouched for none of them."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        folder.chmod(0o755)
        for name in ("ca", "other"):
            self.openssl("req", "-x509", *self.key(name), "-days", "2", "-subj", f"/CN={name}", "-out", folder / f"{name}.pem")
        for name, alternative in (("server", f"DNS:localhost,DNS:{socket.getfqdn()},DNS:{socket.gethostname()}"), ("client", "DNS:client.test")):
            self.openssl("req", *self.key(name), "-subj", f"/CN={name}", "-out", folder / f"{name}.csr")
            (folder / "extensions").write_text(f"subjectAltName={alternative}\n")
            self.openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-CAcreateserial", "-days", "2",
                         "-extfile", folder / "extensions", "-out", folder / f"{name}.pem")
        for trusted in ("ca", "other"):
            (folder / f"{trusted}.d").mkdir()
            shutil.copy(folder / f"{trusted}.pem", folder / f"{trusted}.d")
            self.openssl("rehash", folder / f"{trusted}.d")
        for path in folder.glob("*.key"):
            path.chmod(0o644)

    def key(self, name):
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.folder / f"{name}.key"]

    def openssl(self, *words):
        subprocess.run(["openssl", *[str(word) for word in words]], check=True, capture_output=True)


class Directory(OpenLDAP):
    """Over ldap:// with STARTTLS, ldaps:// and ldapi://; who logs in by SASL may read, others may not."""

    certificates = None

    def start(self):
        self.secure, self.socket = getattr(self, "secure", None) or free_port(), self.folder / "ldapi"
        at = self.certificates.folder
        conf = (self.folder / "slapd.conf")
        if "TLSCACertificateFile" not in (text := conf.read_text()):
            head, database = text.split("database mdb", 1)
            who = self.user.pw_uid if self.user else 0
            group = self.user.pw_gid if self.user else 0
            conf.write_text(head + f"TLSCACertificateFile {at}/ca.pem\nTLSCertificateFile {at}/server.pem\nTLSCertificateKeyFile {at}/server.key\nTLSVerifyClient allow\n"
                            "sasl-host localhost\nsasl-realm test\nsasl-secprops none\npassword-hash {CLEARTEXT}\nauthz-policy to\n"
                            f"authz-regexp \"gidNumber=.*\\+uidNumber=.*,cn=peercred,cn=external,cn=auth\" \"cn=reader,ou={USERS},dc=test\"\n"
                            f"authz-regexp \"cn=client\" \"cn=reader,ou={USERS},dc=test\"\n"
                            f"authz-regexp \"uid=([^,]*),cn=test,cn=[^,]*,cn=auth\" \"cn=$1,ou={USERS},dc=test\"\n"
                            f"authz-regexp \"uid=([^,]*),cn=[^,]*,cn=auth\" \"cn=$1,ou={USERS},dc=test\"\n"
                            "database mdb" + database +
                            "access to attrs=userPassword by anonymous auth by self read\n"
                            f"access to filter=\"(mail=a@example.com)\" by dn.exact=\"cn=reader,ou={USERS},dc=test\" read by ssf=64 read by * none\naccess to * by * read\n")
        self.spawn([self.program(), "-d", "0", "-f", self.folder / "slapd.conf", "-h",
                    f"ldap://127.0.0.1:{self.port} ldaps://127.0.0.1:{self.secure} ldapi://{str(self.socket).replace('/', '%2F')}"])
        wait_until(lambda: self.run(["ldapsearch", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-s", "base", "-b", ""], check=False).returncode == 0, "OpenLDAP answers")

    def prepare(self):
        super().prepare()
        people = f"dn: ou={USERS},dc=test\nobjectClass: organizationalUnit\nou: {USERS}\n\n"
        for name in ("reader", "stranger"):
            people += f"dn: cn={name},ou={USERS},dc=test\nobjectClass: inetOrgPerson\ncn: {name}\nsn: {name}\nuserPassword: secret\n" + (
                f"authzTo: dn.exact:cn=reader,ou={USERS},dc=test\n" if name == "stranger" else "") + "\n"
        self.run(["ldapadd", "-x", "-H", f"ldap://127.0.0.1:{self.port}", "-D", "cn=root,dc=test", "-w", "secret"], stdin=people)


class Sql(MariaDB):
    """With TLS; who must have it, who must have a certificate."""

    certificates = None

    def prepare(self):
        super().prepare()
        self.sql("create user tls@'127.0.0.1' identified by 'secret' require ssl; grant all on mail.* to tls@'127.0.0.1';"
                 "create user known@'127.0.0.1' identified by 'secret' require x509; grant all on mail.* to known@'127.0.0.1';"
                 "create user ciphered@'127.0.0.1' identified by 'secret' require cipher 'ECDHE-ECDSA-AES128-GCM-SHA256'; grant all on mail.* to ciphered@'127.0.0.1';")

    def more_arguments(self):
        at = self.certificates.folder
        return [f"--ssl-ca={at}/ca.pem", f"--ssl-cert={at}/server.pem", f"--ssl-key={at}/server.key"]


class Relational(PostgreSQL):
    """With TLS, which the user tls must have, the user known with a certificate."""

    certificates = None

    def prepare(self):
        super().prepare()
        self.sql("create user tls; create user known; grant select on alias to tls, known")
        (self.folder / "data/pg_hba.conf").write_text("hostssl all tls all trust\nhost all tls all reject\nhostssl all known all trust clientcert=verify-ca\nlocal all all trust\nhost all all all trust\n")
        self.sql("select pg_reload_conf()")

    def more_arguments(self):
        at = self.certificates.folder
        key = self.folder / "server.key"                         # the server demands that nobody else may read it
        if not key.exists():
            shutil.copy(at / "server.key", key)
            key.chmod(0o600)
            if self.user:
                os.chown(key, self.user.pw_uid, self.user.pw_gid)
        return ["-c", "ssl=on", "-c", f"ssl_ca_file={at}/ca.pem", "-c", f"ssl_cert_file={at}/server.pem", "-c", f"ssl_key_file={key}"]


def prepared(kind, folder, certificates):
    server = kind(folder)
    server.certificates = certificates
    try:
        server.prepare()
    except BaseException:
        server.kill()
        raise
    return server


class Cutter:
    """Stands before a server; what the server says is cut off after so many octets, or not at all (None)."""

    def __init__(self, port, after):
        self.after, self.target, self.said, self.open = after, port, 0, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(client)
            threading.Thread(target=self.serve, args=(client, self.after), daemon=True).start()

    def serve(self, client, left):
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            def forward():
                with contextlib.suppress(OSError):
                    while octets := client.recv(65536):
                        server.sendall(octets)
                    server.shutdown(socket.SHUT_WR)
            threading.Thread(target=forward, daemon=True).start()
            while (left is None or left > 0) and (octets := server.recv(65536 if left is None else left)):
                self.said += len(octets)
                client.sendall(octets)
                left = None if left is None else left - len(octets)
            client.shutdown(socket.SHUT_RDWR)

    def drop(self):
        """Ends what is open."""
        for client in self.open[:]:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


LDAP = "search_base = dc=test\nquery_filter = (mail=%s)\nresult_attribute = description\n"
SASL = LDAP + "bind = sasl\nserver_host = ldap://localhost:{ldap}\nbind_dn = reader\nbind_pw = secret\n"
TLS = LDAP + "server_host = ldap://localhost:{ldap}\nbind = no\nstart_tls = yes\n"
MYSQL = SQL + "hosts = inet:127.0.0.1:{mysql}\ndbname = mail\n"
# What each is asked: the type and its parameters.
QUESTIONS = [
    # A directory: STARTTLS, TLS from the first octet; what its certificate is held against.
    ("ldap", LDAP + "server_host = ldap://localhost:{ldap}\nbind = no\n"),
    ("ldap", TLS), ("ldap", TLS + "tls_ca_cert_file = {ca}/ca.pem\n"), ("ldap", TLS + "tls_ca_cert_file = {ca}/other.pem\n"),
    ("ldap", TLS + "tls_require_cert = yes\ntls_ca_cert_file = {ca}/ca.pem\n"), ("ldap", TLS + "tls_require_cert = yes\ntls_ca_cert_file = {ca}/other.pem\n"),
    ("ldap", TLS + "tls_require_cert = yes\n"), ("ldap", TLS + "tls_require_cert = yes\ntls_ca_cert_dir = {ca}/ca.d\n"),
    ("ldap", TLS + "tls_require_cert = yes\ntls_ca_cert_file = {ca}/ca.pem\nserver_host = ldap://127.0.0.1:{ldap}\n"),
    ("ldap", TLS + "tls_ca_cert_file = {ca}/none.pem\n"), ("ldap", TLS + "version = 2\n"), ("ldap", TLS + "server_host = localhost:{ldap}\n"),
    ("ldap", TLS + "tls_cipher_suite = NORMAL\n"), ("ldap", TLS + "tls_cipher_suite = none-such\n"),
    ("ldap", TLS + "start_tls = no\nserver_host = ldaps://localhost:{ldaps}\n"),
    ("ldap", TLS + "start_tls = no\nserver_host = ldaps://localhost:{ldaps}\ntls_require_cert = yes\ntls_ca_cert_file = {ca}/ca.pem\n"),
    ("ldap", TLS + "start_tls = no\nserver_host = ldaps://localhost:{ldaps}\ntls_require_cert = yes\ntls_ca_cert_file = {ca}/other.pem\n"),
    ("ldap", TLS + "start_tls = no\nserver_host = ldaps://localhost:{ldaps}\ntls_require_cert = yes\n"),
    ("ldap", TLS + "server_host = ldaps://localhost:{ldaps}\n"),
    ("ldap", TLS + "start_tls = no\nserver_host = ldaps://localhost:{ldap}\n"),
    # Who logs in by SASL.
    ("ldap", SASL + "sasl_mechs = DIGEST-MD5\n"), ("ldap", SASL + "sasl_mechs = SCRAM-SHA-256\n"), ("ldap", SASL + "sasl_mechs = PLAIN\n"), ("ldap", SASL + "sasl_mechs = CRAM-MD5\n"),
    ("ldap", SASL), ("ldap", SASL + "sasl_mechs = NTLM GSSAPI DIGEST-MD5\n"), ("ldap", SASL + "sasl_mechs = NONESUCH\n"), ("ldap", SASL + "sasl_mechs = SCRAM-SHA-1\nbind_pw = wrong\n"),
    ("ldap", SASL + "sasl_mechs = SCRAM-SHA-1\nbind_dn = nobody\n"), ("ldap", SASL + "sasl_mechs = SCRAM-SHA-1\nbind_dn = stranger\n"),
    ("ldap", SASL + "sasl_mechs = SCRAM-SHA-1\nbind_dn = stranger\nsasl_authz_id = dn:cn=reader,ou=users,dc=test\n"),
    ("ldap", SASL + "sasl_mechs = SCRAM-SHA-1\nbind_dn = reader\nsasl_authz_id = dn:cn=stranger,ou=users,dc=test\n"),
    ("ldap", SASL + "sasl_mechs = DIGEST-MD5\nsasl_realm = test\n"), ("ldap", SASL + "sasl_mechs = DIGEST-MD5\nsasl_realm = elsewhere\n"),
    ("ldap", SASL + "sasl_mechs = DIGEST-MD5\nsasl_minssf = 56\n"), ("ldap", SASL + "sasl_mechs = SCRAM-SHA-1\nsasl_minssf = 56\n"), ("ldap", SASL + "sasl_mechs = DIGEST-MD5\nsasl_minssf = 256\n"),
    ("ldap", SASL + "sasl_mechs = SCRAM-SHA-1\nsasl_minssf = 56\nstart_tls = yes\n"), ("ldap", SASL + "sasl_mechs = PLAIN\nstart_tls = yes\ntls_ca_cert_file = {ca}/ca.pem\ntls_require_cert = yes\n"),
    ("ldap", SASL + "sasl_mechs = DIGEST-MD5\nversion = 2\n"), ("ldap", SASL + "sasl_mechs = DIGEST-MD5\nbind = SASL\n"),
    ("ldap", LDAP + "bind = sasl\nsasl_mechs = EXTERNAL\nserver_host = {ldapi}\n"), ("ldap", LDAP + "bind = sasl\nserver_host = {ldapi}\n"), ("ldap", LDAP + "bind = no\nserver_host = {ldapi}\n"),
    ("ldap", SASL + "sasl_mechs = EXTERNAL\nstart_tls = yes\ntls_cert = {ca}/client.pem\ntls_key = {ca}/client.key\ntls_ca_cert_file = {ca}/ca.pem\n"),
    ("ldap", SASL + "sasl_mechs = EXTERNAL\nstart_tls = yes\n"), ("ldap", SASL + "sasl_mechs = EXTERNAL\nstart_tls = yes\ntls_cert = {ca}/client.pem\ntls_key = {ca}/server.key\n"),
    # MySQL with TLS: who demands it, by which certificates.
    ("mysql", MYSQL + "user = tls\npassword = secret\n"), ("mysql", MYSQL + "user = tls\npassword = secret\ntls_CAfile = {ca}/ca.pem\n"),
    ("mysql", MYSQL + "user = tls\npassword = secret\ntls_CAfile = {ca}/other.pem\n"), ("mysql", MYSQL + "user = tls\npassword = secret\ntls_CApath = {ca}/ca.d\n"),
    ("mysql", MYSQL + "user = tls\npassword = secret\ntls_verify_cert = yes\n"), ("mysql", MYSQL + "user = tls\npassword = secret\ntls_verify_cert = no\n"),
    ("mysql", MYSQL + "user = tls\npassword = secret\ntls_CAfile = {ca}/ca.pem\ntls_verify_cert = yes\n"),
    ("mysql", MYSQL + "user = tls\npassword = secret\ntls_CAfile = {ca}/ca.pem\ntls_verify_cert = yes\nhosts = localhost:{mysql}\n"),
    ("mysql", MYSQL + "user = tls\npassword = secret\ntls_CAfile = {ca}/other.pem\ntls_verify_cert = yes\n"),
    ("mysql", MYSQL + "user = known\npassword = secret\ntls_cert_file = {ca}/client.pem\ntls_key_file = {ca}/client.key\n"), ("mysql", MYSQL + "user = known\npassword = secret\ntls_CAfile = {ca}/ca.pem\n"),
    ("mysql", MYSQL + "user = known\npassword = secret\ntls_cert_file = {ca}/client.pem\ntls_key_file = {ca}/server.key\n"), ("mysql", MYSQL + "user = known\npassword = secret\ntls_cert_file = {ca}/client.pem\n"),
    ("mysql", MYSQL + "user = ciphered\npassword = secret\ntls_ciphers = ECDHE-ECDSA-AES128-GCM-SHA256\n"), ("mysql", MYSQL + "user = ciphered\npassword = secret\ntls_ciphers = NONE-SUCH\n"),
    ("mysql", MYSQL + "user = mail\npassword = secret\ntls_CAfile = {ca}/none.pem\n"),
    # What MySQL's own files say.
    ("mysql", MYSQL + "option_file = {options}\n"), ("mysql", MYSQL + "option_file = {options}\noption_group = other\n"), ("mysql", MYSQL + "option_file = {options}\noption_group = none\n"),
    ("mysql", MYSQL + "option_file = {options}\noption_group =\n"), ("mysql", MYSQL + "option_file = {options}\nuser = tls\n"), ("mysql", MYSQL + "option_file = {options}\noption_group = secured\n"),
    ("mysql", MYSQL + "option_file = {options}.none\nuser = mail\npassword = secret\n"), ("mysql", SQL + "hosts = localhost\ndbname = mail\noption_file = {options}\noption_group = ported\n"),
   ("mysql", SQL + "hosts = localhost\ndbname = mail\nuser = mail\npassword = secret\noption_file = {options}\noption_group = ported\n"), ("mysql", SQL + "hosts = localhost:{closed}\ndbname = mail\nuser = mail\npassword = secret\noption_file = {options}\noption_group = ported\n"),
    ("mysql", SQL + "hosts = 127.0.0.1\ndbname = mail\nuser = mail\npassword = secret\noption_file = {options}\noption_group = ported\n"), ("mysql", SQL + "dbname = mail\nuser = mail\npassword = secret\noption_file = {options}\noption_group = ported\n"),
    ("mysql", SQL + "dbname = mail\nuser = mail\npassword = secret\noption_file = {options}\noption_group = local\n"), ("mysql", SQL + "hosts = localhost\ndbname = mail\nuser = mail\npassword = secret\noption_file = {options}\noption_group = local\n"),
    # PostgreSQL with TLS, which is said in a URI alone.
    ("pgsql", SQL + "hosts = postgresql://tls@localhost:{pgsql}/postgres?sslmode=require\ndbname = postgres\n"), ("pgsql", SQL + "hosts = postgresql://tls@localhost:{pgsql}/postgres?sslmode=disable\ndbname = postgres\n"),
    ("pgsql", SQL + "hosts = postgresql://tls@localhost:{pgsql}/postgres?sslmode=verify-full&sslrootcert={ca}/ca.pem\ndbname = postgres\n"),
    ("pgsql", SQL + "hosts = postgresql://tls@127.0.0.1:{pgsql}/postgres?sslmode=verify-full&sslrootcert={ca}/ca.pem\ndbname = postgres\n"),
    ("pgsql", SQL + "hosts = postgresql://tls@127.0.0.1:{pgsql}/postgres?sslmode=verify-ca&sslrootcert={ca}/ca.pem\ndbname = postgres\n"),
    ("pgsql", SQL + "hosts = postgresql://tls@localhost:{pgsql}/postgres?sslmode=verify-ca&sslrootcert={ca}/other.pem\ndbname = postgres\n"),
    ("pgsql", SQL + "hosts = postgresql://known@localhost:{pgsql}/postgres?sslmode=require\ndbname = postgres\n"),
    ("pgsql", SQL + "hosts = localhost:{pgsql}\nuser = tls\ndbname = postgres\n"), ("pgsql", SQL + "hosts = localhost:{pgsql}\nuser = tls\ndbname = postgresql://localhost:{pgsql}/postgres?sslmode=disable\n"),
    # Limits that are none.
    ("ldap", LDAP + "server_host = ldap://localhost:{ldap}\nbind = no\nexpansion_limit = -1\n"), ("mysql", MYSQL + "user = mail\npassword = secret\nexpansion_limit = -1\n"),
    ("pgsql", SQL + "hosts = localhost:{pgsql}\nuser = mail\ndbname = postgres\nexpansion_limit = -1\n"), ("sqlite", SQL + "dbpath = {sqlite}\nexpansion_limit = -1\n"),
    ("sqlite", SQL + "dbpath = {sqlite}\nexpansion_limit = -2\n"), ("sqlite", SQL + "dbpath = {sqlite}\nexpansion_limit = many\n"),
    ("ldap", LDAP + "server_host = ldap://localhost:{ldap}\nbind = no\nsize_limit = -1\n"), ("ldap", LDAP + "server_host = ldap://localhost:{ldap}\nbind = no\nrecursion_limit = -1\n"),
    ("ldap", LDAP + "server_host = ldap://localhost:{ldap}\nbind = no\nrecursion_limit = 0\n"), ("ldap", LDAP + "server_host = ldap://localhost:{ldap}\nbind = no\ntimeout = 0\n"),
    ("ldap", LDAP + "server_host = ldap://localhost:{ldap}\nbind = no\ndereference = 9\n"),
]
# What differs, and why it may: what of a question's parameters shows it.
ACCEPTED = {"strength": "sasl_minssf holds here; Postfix accepts it and logs in with less", "password": "where no password is set, the option file's is said; Postfix says an empty one"}
ACCEPTED_AT = {"strength": lambda text: "sasl_minssf" in text, "password": lambda text: "option_file" in text and "password" not in text}
# Through a server that is cut off: a question with two values.
CUT = {"ldap": [LDAP + "server_host = ldap://localhost:{cut}\nbind = no\n", TLS + "server_host = ldap://localhost:{cut}\n", SASL + "sasl_mechs = SCRAM-SHA-1\nserver_host = ldap://localhost:{cut}\n"],
       "mysql": [SQL + "hosts = 127.0.0.1:{cut}\ndbname = mail\nuser = mail\npassword = secret\n", SQL + "hosts = 127.0.0.1:{cut}\ndbname = mail\nuser = tls\npassword = secret\ntls_CAfile = {ca}/ca.pem\n"],
       "pgsql": [SQL + "hosts = postgresql://mail@127.0.0.1:{cut}/postgres?sslmode=disable\ndbname = postgres\n", SQL + "hosts = postgresql://tls@127.0.0.1:{cut}/postgres?sslmode=require\ndbname = postgres\n"]}
PLACES = 12                                                      # where each is cut, beside the last octets


def cut(area, servers, words, folder, ask):
    """An answer that is cut off after some octets, in the clear and with TLS: an error, or the whole answer where only the end of the session was lost."""
    def through(number, kind, text, after):
        cutter = Cutter(servers[kind].port, after)
        try:
            file = folder / f"cut{number}.{after}.cf"
            file.write_text(parameters(text.format(**words | {"cut": cutter.port})))
            return ask(f"{kind}:{file}", "two@example.com"), cutter.said
        finally:
            cutter.close()

    whole = ["one@x.test", "two@x.test"]
    asked = [(number, kind, text) for number, (kind, text) in enumerate((kind, text) for kind, texts in CUT.items() for text in texts)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        lengths = []
        for (_, kind, text), (answer, length) in zip(asked, pool.map(lambda one: through(*one, None), asked)):
            if sorted(answer.stdout.strip().split(",")) != whole:
                area.differ(f"{kind} whole\n{text}  {answer}")
            lengths.append(length)
        cuts = [(*one, after) for one, length in zip(asked, lengths) for after in sorted({*range(1, length, max(1, length // PLACES)), *range(max(1, length - 3), length)})]
        errors = 0
        for (_, kind, text, after), (answer, _) in zip(cuts, pool.map(lambda one: through(*one), cuts)):
            error = answer.returncode == 1 and not answer.stdout and "query error" in answer.stderr
            errors += error
            if error or (answer.returncode == 0 and sorted(answer.stdout.strip().split(",")) == whole):
                area.same()
            else:
                area.differ(f"{kind} cut off after {after}\n{text}  {answer}")
        if errors < len(cuts) * 3 // 4:
            area.differ(f"only {errors} of {len(cuts)} answers that were cut off are errors")


def parameters(text):
    """The last of several lines for one name is what holds."""
    return "".join(f"{name} = {value}\n" for name, value in dict([part.strip() for part in line.split("=", 1)] for line in text.splitlines()).items())


def main():
    debian = frame.Debian()
    program = pathlib.Path(sys.argv[1]).resolve()
    kinds = {"ldap": Directory, "mysql": Sql, "pgsql": Relational}
    for kind in kinds.values():
        if not kind.program():
            raise frame.Skipped(f"{kind.__name__} is not installed")
    folder = remains.folder("posthorn-connections.")
    os.chmod(folder, 0o755)
    servers, area = {}, frame.Area("connections", ACCEPTED)
    try:
        etc = folder / "etc"
        etc.mkdir()
        (etc / "main.cf").write_text("compatibility_level = 3.7\nmydomain = example.test\nmyhostname = host.example.test\nmail_owner = daemon\nsetgid_group = mail\n"
                                     f"default_privs = nobody\nshlib_directory = {debian.library}\nmeta_directory = {etc}\n")
        (etc / "dynamicmaps.cf").write_text(debian.dynamicmaps())
        (folder / "postmap").symlink_to(program)
        authority = Authority(folder / "ca")

        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            servers = dict(zip(kinds, pool.map(lambda kind: prepared(kinds[kind], folder / kind, authority), kinds)))
        with contextlib.closing(sqlite3.connect(folder / "rows.db")) as rows, rows:
            rows.execute("create table alias(name text, target text)")
            rows.executemany("insert into alias values (?, ?)", ROWS)
        options = folder / "my.cnf"
        options.write_text(f"[client]\nuser = mail\npassword = secret\n[other]\nuser = nobody\n[secured]\nuser = known\npassword = secret\nssl-cert = {authority.folder}/client.pem\n"
                           f"ssl-key = {authority.folder}/client.key\n[ported]\nuser = mail\npassword = secret\nhost = 127.0.0.1\nport = {servers['mysql'].port}\nprotocol = tcp\n[local]\nsocket = {servers['mysql'].folder}/socket\n")
        words = {kind: server.port for kind, server in servers.items()} | {
            "ldaps": servers["ldap"].secure, "ldapi": "ldapi://" + str(servers["ldap"].socket).replace("/", "%2F"), "ca": authority.folder, "options": options, "closed": free_port(), "sqlite": folder / "rows.db"}

        def run(system, spec, key):
            command, env = ([debian.program("postmap")], debian.env) if system == "Postfix" else ([str(folder / "postmap")], None)
            return subprocess.run([*command, "-c", str(etc), "-q", key, spec], capture_output=True, text=True, env=env, timeout=120)

        def both(question):
            number, (kind, text) = question
            file = folder / f"{kind}{number}.cf"
            file.write_text(parameters(text.format(**words)))
            key = "two@example.com" if "limit" in text else "a@example.com"
            return file, [run(system, f"{kind}:{file}", key) for system in ("Postfix", "ours")]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:           # Postfix's postmap sleeps a second before it ends in vain
            for (kind, text), (file, answers) in zip(QUESTIONS, pool.map(both, enumerate(QUESTIONS))):
                there, here = ((sorted(one.stdout.strip().split(",")), one.returncode, "fatal" in one.stderr) for one in answers)
                names = [name for name, shows in ACCEPTED_AT.items() if shows(text)]
                if os.environ.get("EXPLORE"):
                    print("====", kind, text.replace("\n", "; "), "\n  ", there, here, "\n   P:", answers[0].stderr.strip(), "\n   O:", answers[1].stderr.strip())
                if there == here:
                    area.same()
                elif names:
                    area.accept(names)
                else:
                    area.differ(f"{kind}\n{file.read_text()}  Postfix {answers[0]}\n  ours {answers[1]}")
        cut(area, servers, words, folder, lambda spec, key: run("ours", spec, key))
        return area.close(0)
    finally:
        for server in servers.values():
            server.kill()
        shutil.rmtree(folder)


if __name__ == "__main__":
    frame.guarded(main)
