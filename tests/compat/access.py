"""Access results: what access(5) lets stand on the right-hand side, in the forms that people write it in, found through every kind of table that a site
uses for it. One smtpd line for each kind of table; one session for each result."""
import pathlib
import subprocess

PER_TABLE = 9
TEXTS = ["", "go away", "Access denied: see http://example.test/why?ip=1", "  two  blanks ", "5.7.1", "no % sign, no $ sign", "x" * 120, "Quoted \"text\" and <angles>"]
WORDS = ["OK", "RELAY", "PERMIT", "DUNNO", "REJECT", "DEFER", "DEFER_IF_PERMIT", "DEFER_IF_REJECT", "WARN", "INFO", "HOLD", "DISCARD"]
CODES = ["400", "421", "450", "451", "452", "499", "500", "521", "550", "551", "554", "571", "599", "200", "250", "354", "600", "45", "4500"]
ENHANCED = ["", "", "4.7.1", "5.7.1", "4.1.999", "5.1.8", "2.0.0", "5.7", "9.9.9", "5.1000.1"]
LISTS = ["reject_unauth_destination", "permit_mynetworks, reject", "reject_non_fqdn_sender reject", "warn_if_reject reject_unknown_sender_domain, permit", "class_one", "class_two, reject",
         "defer_if_permit, permit", "permit, no_such_word", "no_such_word", "reject_rbl_client list.test, permit", "check_helo_access inline:{client.test=REJECT_helo}", "defer_unauth_destination, reject",
         "reject_unlisted_recipient, permit", "sleep 0, reject", "{ reject }", "permit_auth_destination", "reject_invalid_helo_hostname,permit"]
ACTIONS = ["FILTER smtp:[127.0.0.1]:1", "FILTER none", "FILTER :[127.0.0.1]", "FILTER", "REDIRECT user@ours.test", "REDIRECT two words", "REDIRECT", "BCC user@ours.test", "BCC x y", "BCC",
           "PREPEND X-Access: seen", "PREPEND X Access: no", "PREPEND :", "PREPEND", "HANGUP", "HANGUP now"]


def said(rng):
    """Not a status without a text: Postfix 3.7 reads on into what its buffer had before."""
    enhanced, words = rng.choice(ENHANCED), rng.choice(TEXTS)
    if words == "5.7.1" or (enhanced and not words):
        words = f"{words} said".strip()
    return f"{enhanced} {words}"


def result(rng):
    """One right-hand side."""
    dice = rng.random()
    if dice < 0.4:
        word = rng.choice(WORDS)
        text = f"{rng.choice([word, word.lower(), word.capitalize()])} {said(rng)}"
    elif dice < 0.65:
        text = f"{rng.choice(CODES)} {said(rng)}"
    elif dice < 0.8:
        text = rng.choice(ACTIONS)
    elif dice < 0.95:
        text = rng.choice(LISTS)
    else:
        text = rng.choice(["550,", "REJECT,", "OK, reject", "4.7.1 bare", "12345", "+OK", "-", "reject_unauth_destination;reject", "550-5.7.1 dashed", "REJECT\\n"])
    return text.replace("  ", " ", 1).strip() if rng.random() < 0.8 else text.rstrip()


class Access:
    """kinds -> (the table as main.cf names it, the restriction that asks it); one address or client per result."""

    def __init__(self, rng, folder, debian):
        self.rng, self.folder, self.debian, self.made = rng, folder, debian, 0

    def file(self, text):
        self.made += 1
        path = self.folder / f"access{self.made}"
        path.write_text(text)
        path.chmod(0o644)
        return path

    def indexed(self, kind, text):
        """Built by Debian's postmap; both read the same file."""
        path = self.file(text)
        etc = self.folder / "access-etc"
        if not etc.exists():
            etc.mkdir()
            (etc / "main.cf").write_text(f"compatibility_level = 3.6\nmydomain = ours.test\nmyhostname = mail.ours.test\nmail_owner = mail\nsetgid_group = daemon\nmeta_directory = {etc}\n"
                                         f"shlib_directory = {self.debian.library}\n")
            (etc / "dynamicmaps.cf").write_text(self.debian.dynamicmaps())
        subprocess.run([self.debian.program("postmap"), "-c", etc, f"{kind}:{path}"], env=self.debian.env, check=True, capture_output=True)
        for built in path.parent.glob(path.name + ".*"):
            pathlib.Path(built).chmod(0o644)
        return f"{kind}:{path}"

    def lines(self):
        """(options of the smtpd line, {name: (client, commands)})"""
        rng = self.rng

        def rows():
            return [result(rng) for _ in range(PER_TABLE)]
        for kind in ("texthash", "hash", "lmdb", "cdb", "btree", "regexp", "pcre", "cidr", "proxy", "unionmap"):
            results = rows()
            keys = [f"r{number}@ours.test" for number in range(PER_TABLE)]
            flat = "".join(f"{key} {text}\n" for key, text in zip(keys, results))
            if kind in ("regexp", "pcre"):
                table = f"{kind}:" + str(self.file("".join(f"/^(r{number})@(ours.test)$/ {text.replace('$', '$$')}{rng.choice(['', ' $1', ' at $2'])}\n" for number, text in enumerate(results))))
            elif kind == "cidr":
                table = f"cidr:{self.file(''.join(f'127.0.{number + 1}.0/24 {text}' + chr(10) for number, text in enumerate(results)))}"
            elif kind == "proxy":
                table = f"proxy:texthash:{self.file(flat)}"
            elif kind == "unionmap":
                table = f"unionmap:{{texthash:{self.file(flat)},inline:{{nobody=x}}}}"
            else:
                table = self.indexed(kind, flat) if kind != "texthash" else f"texthash:{self.file(flat)}"
            stage, asked = ("recipient", "recipient") if kind != "cidr" else (rng.choice(["client", "recipient"]), "client")
            options = {f"smtpd_{stage}_restrictions": f"check_{asked}_access {table}, " + rng.choice(["permit_mynetworks, reject", "permit_auth_destination, reject", "permit"]),
                       "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination", "smtpd_delay_reject": rng.choice(["yes", "yes", "no"])}
            sessions = {}
            for number, text in enumerate(results):
                client = f"127.0.{number + 1}.9" if kind == "cidr" else "127.0.0.4"
                sessions[f"access {kind} {number} {text}"] = (client, ["EHLO client.test", "MAIL FROM:<a@good.test>", f"RCPT TO:<{keys[number]}>", "DATA", "QUIT"])
            yield options, sessions
