#!/usr/bin/env python3
"""STARTTLS where it is demanded, and where there is no certificate: the same commands to Debian's Postfix and Posthorn, line by line of master.cf. Replies and
what is logged of TLS are compared. Skipped (77) without Debian's packages or root.

  tls_server.py BIN [--break] [--show]     --break: our smtpd demands no TLS; differences must be found
"""
import argparse
import contextlib
import os
import pathlib
import re
import sys

import frame

ACCEPTED = {
    "HELP": "it is answered, as later versions of Postfix do",
    "nothing to offer": "at level may STARTTLS is offered where there is a certificate; Postfix offers it, and then says 454",
}
COMMANDS = ["NOOP", "HELO client.test", "EHLO client.test", "RSET", "VRFY user@here.test", "ETRN here.test", "HELP", "AUTH PLAIN AGEAYg==", "XCLIENT NAME=x",
            "XFORWARD NAME=x", "EXPN user", "TURN", "LHLO client.test", "NONSENSE", "nonsense x y", "MAIL FROM:<a b@>", "MAIL FROM:<a@b.test>", "RCPT TO:<a@b.test>", "noop",
            "RSET", "DATA", "MAIL", "Subject", "STARTTLS x"]
NONE = {"smtpd_tls_cert_file": "", "smtpd_tls_key_file": "", "smtpd_tls_eccert_file": "", "smtpd_tls_chain_files": ""}


def lines(certificate):
    """name of a smtpd line -> its options, what is said there"""
    have = {"smtpd_tls_cert_file": certificate, "smtpd_tls_key_file": "$smtpd_tls_cert_file"}
    for level in ("may", "encrypt"):
        yield f"{level}-cert", {"smtpd_tls_security_level": level, **have}, [*COMMANDS, "QUIT"]
        yield f"{level}-no-cert", {"smtpd_tls_security_level": level, **NONE}, [*COMMANDS, "STARTTLS", "MAIL FROM:<a@b.test>", "QUIT"]
    yield "wrapper-no-cert", {"smtpd_tls_wrappermode": "yes", "smtpd_tls_security_level": "encrypt", **NONE}, ["NOOP", "QUIT"]
    yield "denied", {"smtpd_tls_security_level": "encrypt", "smtpd_delay_reject": "no", "smtpd_client_restrictions": "reject", **have}, [*COMMANDS, "QUIT"]


def excused(name, first, second):
    """Name of the difference, where there is no other."""
    if first[0] == "HELP" and first[1].startswith("500 "):
        return "HELP"
    if name == "may-no-cert" and first[0].startswith("EHLO") and first[1].replace("250-STARTTLS\n", "") == second[1]:
        return "nothing to offer"
    return None


def logged(text, name):
    """What this line of master.cf warned of, each once: a process more or less says it again."""
    found = [frame.normal(match.group(1)) for match in re.finditer(rf"postfix/{re.escape(name)}/smtpd\[\d+\]: (.*)", text)]
    return [line for line in dict.fromkeys(found) if re.search(r"TLS|cert|fatal|error|warning", line)]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("bin", type=pathlib.Path)
    options.add_argument("--break", dest="broken", action="store_true")
    options.add_argument("--show", action="store_true")
    options = options.parse_args()
    os.environ["POSTHORN_BIN"] = str(options.bin.resolve())
    frame.need_root()
    debian = frame.Debian()
    from journey import Certificate, Sink, free_port, wait_until
    from mail_systems import master_line
    area, seen = frame.Area("tls_server", ACCEPTED), {}
    with frame.workshop() as folder, contextlib.ExitStack() as ends:
        certificate = Certificate("mail.demo.test")
        ends.callback(certificate.close)
        (folder / "both.pem").write_bytes(certificate.key.read_bytes() + certificate.path.read_bytes())
        (folder / "both.pem").chmod(0o644)
        asked = list(lines(folder / "both.pem"))
        for kind in ("postfix", "posthorn"):
            settings = {"mail_name": "Some Mail", "smtpd_soft_error_limit": "100", "smtpd_hard_error_limit": "200", "smtpd_error_sleep_time": "0", "smtpd_client_restrictions": ""}
            system = frame.start(kind, folder, debian, options.bin.resolve(), Sink(), settings)
            try:
                ports = {name: free_port() for name, _, _ in asked}
                system.add_services("".join(master_line(f"127.0.0.1:{ports[name]} inet n - n - - smtpd", {"syslog_name": f"postfix/{name}", **own,
                                    **({"smtpd_tls_security_level": "may"} if options.broken and kind == "posthorn" else {})}) for name, own, _ in asked), [port for name, port in ports.items() if not name.startswith("wrapper")])
                seen[kind] = {}
                for name, _, commands in asked:
                    seen[kind][name] = frame.dialogue(ports[name], commands, "")
                wait_until(lambda: all(f"postfix/{name}/smtpd[" in frame.log_of(system) for name in ports), f"{kind} has logged")
                wait_until(lambda: logged(frame.log_of(system), "wrapper-no-cert")[1:], f"{kind} says why nobody is served")
                for name in ports:
                    seen[kind][name].append(("LOG", logged(frame.log_of(system), name)))
            finally:
                system.close()
    for name, _, _ in asked:
        one, other = seen["postfix"][name], seen["posthorn"][name]
        for first, second in zip(one, other):
            if options.show:
                print(f"{name}: {first}\n    {second}")
            if first == second:
                area.same()
            elif why := excused(name, first, second):
                area.accept([why])
            else:
                area.differ(f"{name}\n  Postfix:  {first}\n  Posthorn: {second}")
        if len(one) != len(other):
            area.differ(f"{name}: {len(one)} replies of Postfix, {len(other)} of ours")
    code = area.close(1)
    return 0 if options.broken and area.differing else 1 if options.broken else code


if __name__ == "__main__":
    frame.guarded(main)
