"""The rules and the mail of the comparison: one line of smtpd and cleanup for each set of rules, and for each a quota of messages that a seeded
generator puts together, beside some that were written for a reason."""
import dataclasses
import re

CHECKS = {"header_checks": "regexp:{ {/^Subject: reject (.*)/ REJECT no $1} {/^Subject: plainly/ REJECT} {/^Subject: later/ REJECT 4.7.1 not now}"
                           " {/^Subject: coded/ REJECT 5.6.2 said so} {/^Subject: warn/ WARN look at it} {/^Subject: quiet/ WARN} {/^Subject: info/ INFO}"
                           " {/^Subject: hold/ HOLD} {/^Subject: keep/ HOLD for me} {/^Subject: gone/ DISCARD} {/^Subject: lost/ DISCARD as asked}"
                           " {/^Subject: turn/ REDIRECT other@else.test} {/^Subject: copy/ BCC copy@else.test} {/^Subject: pre/ PREPEND X-Before: here}"
                           " {/^Subject: repl(.*)/ REPLACE Subject: new$1} {/^Subject: ignore/ IGNORE} {/^Subject: strip/ STRIP away} {/^Subject: pass/ PASS}"
                           " {/^Subject: unknown/ EXPLODE} {/^Subject: bad1/ PREPEND none} {/^Subject: bad2/ REDIRECT none} {/^Subject: bad3/ REPLACE}"
                           " {/^Subject: bad4/ FILTER none} {/^Subject: bad5/ BCC none} {/^Subject: dunno/ DUNNO} {/^Subject: filter/ FILTER smtp:[127.0.0.1]:SINK} {/^X-Evil/ REJECT evil}"
                           " {/^Subject: a.* b/ WARN folded} {/name=.*exe/ REJECT no programs} {/^X-Nested/ WARN nested}"
                           " {/^To: .*swap/ REPLACE To: user} {/^Bcc:/ WARN hidden} }",
          "body_checks": "regexp:{ {/^reject me/ REJECT of the body} {/^warn me/ WARN of the body} {/^ignore me/ IGNORE} {/^replace (me)/ REPLACE with $1}"
                         " {/^prepend me/ PREPEND before} {/^discard me/ DISCARD} {/^hold me/ HOLD} {/^--bound/ INFO boundary} {/^copy me/ BCC copy@else.test}"
                         " {/^strip me/ STRIP} {/^redirect me/ REDIRECT other@else.test} {/^pass me/ PASS} {/^filter me/ FILTER smtp:[127.0.0.1]:SINK} }"}
LINES = {
    "plain": {},
    "checks": CHECKS,
    "classes": {"header_checks": "regexp:{ {/^X-A/ PREPEND X-By: header} }", "mime_header_checks": "regexp:{ {/^X-A/ PREPEND X-By: mime} {/^Content-D/ IGNORE} }",
                "nested_header_checks": "regexp:{ {/^X-A/ PREPEND X-By: nested} }"},
    "nomime": {"disable_mime_input_processing": "yes", **CHECKS},
    "limits": {"body_checks_size_limit": "60", "header_size_limit": "60", **CHECKS},
    "strict": {"strict_8bitmime": "yes", "strict_mime_encoding_domain": "yes"},
    "nesting": {"mime_nesting_limit": "3", "header_checks": "regexp:{ {/^X-A/ WARN} }"},
    "characters": {"message_reject_characters": r"\001\a", "message_strip_characters": r"\002x\\"},
    "free": {"message_reject_characters": r"\001", "message_strip_characters": r"\002", "receive_override_options": "no_header_body_checks"},
    "off": {"receive_override_options": "no_header_body_checks", **CHECKS},
}
LOCAL = {"local_header_rewrite_clients": "permit_inet_interfaces, permit_mynetworks"}
NAMES = "inline:{ {one@in.else.test = First.Last@else.test} {@old.test = @new.test} {user = named} {chain1@else.test = chain2@else.test}" \
        " {chain2@else.test = chain3@else.test} {self@else.test = self@else.test} {local@else.test = here} {ext@else.test = other@else.test}" \
        " {two@else.test = a@else.test, b@else.test} {quoted@else.test = \"a b\"@else.test} }"
# Results without commas between addresses.
BLANKS = {"two": "b@else.test c@else.test", "bare": "b c", "mixed": "b@else.test c, d@else.test", "phrase": "Some Body <b@else.test>",
          "phrase and more": "Some <b@else.test> c@else.test", "angled": "<b@else.test> <c@else.test>", "quoted": "\"a b\"@else.test c@else.test", "dot": "b . c@else.test",
          "comment": "b@else.test (one) c@else.test", "split": "b @else.test", "three": "b@else.test\tc@else.test  d", "domain": "b@else.test else.test", "named": "b@else.test <c@else.test>", "named after": "b@else.test Some <c@else.test>",
          "after": "<b@else.test> Some <c@else.test>", "literal": "b@[192.0.2.1] c", "at": "b@else.test c@ d"}
LINES |= {
    "blanks": {"virtual_alias_maps": "inline:{ " + " ".join(f"{{{name.replace(' ', '-')}@blank.test = {value}}}" for name, value in BLANKS.items()) + " }", **LOCAL},
    "local": LOCAL,
    "remote": {"remote_header_rewrite_domain": "remote.invalid"},
    "canonical": {"canonical_maps": NAMES, **LOCAL},
    "canonical-remote": {"canonical_maps": NAMES},
    "sender": {"sender_canonical_maps": NAMES, **LOCAL},
    "recipient": {"recipient_canonical_maps": NAMES, "propagate_unmatched_extensions": "", **LOCAL},
    "part": {"canonical_maps": NAMES, "canonical_classes": "header_sender, envelope_recipient", **LOCAL},
    "masquerade": {"masquerade_domains": "!keep.else.test deep.else.test else.test", "masquerade_exceptions": "root", **LOCAL},
    "masquerade-all": {"masquerade_domains": "else.test", "masquerade_classes": "envelope_sender, envelope_recipient, header_sender, header_recipient", **LOCAL},
    "bcc": {"always_bcc": "log", "sender_bcc_maps": "inline:{ {sender@client.test = sent@else.test} {@in.else.test = sentin@else.test} }",
            "recipient_bcc_maps": "inline:{ {user@else.test = got@else.test} {ext@else.test = gotext} {two@else.test = user@else.test} }",
            "virtual_alias_maps": "inline:{ {gotext@demo.test = expanded@else.test} }"},
    "virtual": {"virtual_alias_maps": "inline:{ {user@else.test = a@else.test, b@else.test} {a@else.test = c@else.test} {@old.test = @new.test}"
                                      " {self@else.test = self@else.test, copy@else.test} {loop@else.test = pool@else.test} {pool@else.test = loop@else.test}"
                                      " {ext@else.test = other@else.test} {local@else.test = here} {same@else.test = b@else.test} }"},
    "few": {"virtual_alias_maps": "inline:{ {user@else.test = a@else.test, b@else.test, c@else.test} {one@in.else.test = a@else.test}"
                                  " {a@else.test = d@else.test} {d@else.test = e@else.test} {second@else.test = f@else.test, d@else.test} }", "virtual_alias_expansion_limit": "2", "virtual_alias_recursion_limit": "2"},
    "unmapped": {"receive_override_options": "no_address_mappings", "canonical_maps": NAMES, "always_bcc": "log",
                 "virtual_alias_maps": "inline:{ {user@else.test = a@else.test} }", **LOCAL},
    "missing": {"always_add_missing_headers": "yes", "undisclosed_recipients_header": "To: undisclosed-recipients:;"},
}
TRANSPORTS = {
    "out-generic": {"smtp_generic_maps": "inline:{ {one@in.else.test = public@else.test} {@old.test = @new.test} {user@demo.test = mapped@else.test}"
                                         " {ext@else.test = other@else.test} {local@else.test = here} {user = plain@else.test} }"},
    "out-ext": {"smtp_generic_maps": "inline:{ {ext@else.test = other@else.test} {user = plain@else.test} }", "propagate_unmatched_extensions": "generic"},
    "out-7bit": {},
    "out-8bit": {"disable_mime_output_conversion": "yes"},
    "out-checks": {"smtp_header_checks": "regexp:{ {/^Subject: warn/ WARN look} {/^Subject: quiet/ WARN} {/^Subject: info/ INFO to know} {/^Subject: pre/ PREPEND X-Before: here}"
                                         " {/^Subject: repl(.*)/ REPLACE Subject: new$1} {/^Subject: ignore/ IGNORE} {/^Subject: strip/ STRIP away} {/^Subject: dunno/ DUNNO}"
                                         " {/^Received:/ IGNORE} {/^Subject: gone/ DISCARD} }", "smtp_mime_header_checks": "regexp:{ {/^MIME/ IGNORE} }"},
}
TRANSPORTS["out-parts"] = {"smtp_mime_header_checks": "regexp:{ {/^X-A/ PREPEND X-By: mime} {/^Content-Des/ IGNORE} {/^Content-Dis/ WARN a file} }",
                           "smtp_nested_header_checks": "regexp:{ {/^X-A/ REPLACE X-By: nested} {/^X-Nested/ STRIP out} {/^Subject/ INFO inner} }",
                           "smtp_body_checks": "regexp:{ {/^warn me/ WARN of the body} {/^ignore me/ IGNORE} {/^replace (me)/ REPLACE with $1} {/^prepend me/ PREPEND before}"
                                               " {/^strip me/ STRIP} {/^discard me/ DISCARD} {/^--bound/ INFO boundary} }"}
TRANSPORTS["out-body"] = {"smtp_body_checks": "regexp:{ {/^a/ REPLACE b} {/^warn/ WARN w} }", "body_checks_size_limit": "60"}
LINES |= {name.replace("out-", "smtp-"): {"content_filter": f"{name}:[127.0.0.1]:{'SEVEN' if 'bit' in name else 'SINK'}", **LOCAL} for name in TRANSPORTS}
LINES["filtered"] = {"content_filter": "smtp:[127.0.0.1]:SINK"}
LINES["refiltered"] = {"content_filter": "nosuch:[127.0.0.1]:1", "header_checks": "regexp:{ {/^Subject/ FILTER smtp:[127.0.0.1]:SINK} }"}
SUBJECTS = ["reject this", "plainly", "later", "coded", "warn", "quiet", "info", "hold", "keep", "gone", "lost", "turn", "copy", "pre", "replace", "ignore", "strip",
            "pass", "filter", "unknown", "bad1", "bad2", "bad3", "bad4", "bad5", "dunno", "a\r\n b", "nothing"]
BODIES = ["reject me", "warn me", "ignore me", "replace me", "prepend me", "discard me", "hold me", "copy me", "strip me", "redirect me", "pass me", "filter me", "plain text",
          "", "x" * 200, "-- ", "From me", "."]


@dataclasses.dataclass
class Question:
    name: str
    line: str
    content: bytes
    sender: str = "sender@client.test"
    recipients: tuple = ("user@else.test",)
    mail_options: tuple = ()


def message(fields, body=("text",)):
    return ("\r\n".join([*fields, "", *body]) + "\r\n").encode("utf-8")


def head(subject, *more):
    return ["From: Sender <sender@client.test>", "To: User <user@else.test>", "Date: Sat, 21 Nov 2026 09:44:09 +0000", "Message-ID: <one@client.test>",
            f"Subject: {subject}", *more]


def mixed(rng, depth=0):
    """A body in parts."""
    bound = f"bound{depth}"
    lines = ["preamble"] if rng.random() < 0.5 else []
    for _ in range(rng.randint(1, 3)):
        lines.append(f"--{bound}")
        kind = rng.random()
        if kind < 0.2 and depth < 3:
            lines += [f"Content-Type: multipart/alternative; boundary=bound{depth + 1}", "X-A: part", "", *mixed(rng, depth + 1)]
        elif kind < 0.5:
            lines += ["Content-Type: message/rfc822", "", "Subject: inner", "X-A: nested", "X-Nested: yes", "Content-Type: text/plain", "", "warn me"]
        elif kind < 0.6:
            lines += ["Content-Type: application/x; name=run.exe", "Content-Disposition: attachment", "", "AAAA"]
        else:
            lines += ["Content-Type: text/plain", "X-A: part", "Content-Description: some", "", rng.choice(BODIES), rng.choice(BODIES)]
    if rng.random() < 0.8:
        lines.append(f"--{bound}--")
    return lines


def checks(rng):
    for line in ("checks",):
        for subject in SUBJECTS:
            yield Question(f"subject {subject!r}", line, message(head(subject), ["text"]))
        for body in BODIES:
            yield Question(f"body {body[:20]!r}", line, message(head("nothing"), ["before", body, "after"]))
        yield Question("a replaced To", line, message(head("x")[:1] + ["To: swap", "Subject: x"]))
        yield Question("two of them", line, message(head("warn", "X-Evil: yes")))
        yield Question("a hidden Bcc", line, message(head("x", "Bcc: someone@else.test")))
        yield Question("two recipients", line, message(head("copy")), recipients=("user@else.test", "more@else.test"))
        yield Question("redirected for three", line, message(head("turn")), recipients=("user@else.test", "more@else.test", "zed@else.test"))
        yield Question("redirected for two", line, message(head("turn")), recipients=("user@else.test", "more@else.test"))
    for number in range(8):
        for line in ("checks", "classes", "nomime", "limits"):
            fields = head(rng.choice(SUBJECTS[4:]), "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=bound0", "X-A: head")
            yield Question(f"parts {number}", line, message(fields, mixed(rng)))
    for name, subject in (("reject", "reject this"), ("prepend", "pre")):
        yield Question(f"off: {name}", "off", message(head(subject), ["reject me"]))
    yield Question("a long field", "limits", message(head("x", "X-Long: " + "y" * 80 + " name=exe"), ["a" * 50, "reject me", "reject me"]))
    yield Question("a folded long field", "limits", message(head("x", "X-Long: " + "y" * 40 + "\r\n name=more text that goes on.exe"), ["b" * 70, "reject me"]))
    yield Question("8bit header", "strict", "Subject: ä\r\n\r\nx\r\n".encode())
    yield Question("8bit body", "strict", message(head("x"), ["ä"]))
    yield Question("8bit body that says so", "strict", message(head("x", "MIME-Version: 1.0", "Content-Type: text/plain", "Content-Transfer-Encoding: 8bit"), ["ä"]),
                   mail_options=("BODY=8BITMIME",))
    yield Question("encoded multipart", "strict",
                   message(head("x", "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b", "Content-Transfer-Encoding: base64"), ["--b", "", "x", "--b--"]))
    for depth in (2, 3, 4, 8, 20):
        lines = ["deepest"]
        for level in range(depth, 0, -1):
            lines = [f"--b{level}", f"Content-Type: multipart/mixed; boundary=b{level + 1}", "", *lines]
        yield Question(f"nested {depth} deep", "nesting", message(head("x", "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b1"), lines))
    for line in ("characters", "free"):
        for name, fields, body in (("none", [], ["te!t"]), ("stripped", ["X-A: one\002two x\\"], ["\002", "three\002xfour", "\\"]), ("refused in the body", [], ["fine", "no\001t so", "second \001"]),
                                   ("refused in the header", ["X-A: o\001ne"], ["fine"]), ("refused and stripped", [], ["\002\001"]), ("a bell", [], ["ring\a"])):
            yield Question(f"characters {name}", line, message(head("s", *fields), body))
    for body in ("warn me", "ignore me", "replace me", "prepend me", "strip me", "discard me", "", "."):
        yield Question(f"on its way out body {body[:20]!r}", "smtp-parts", message(head("nothing"), ["before", body, "after"]))
    for number in range(4):
        fields = head("nothing", "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=bound0", "X-A: head")
        yield Question(f"on its way out parts {number}", "smtp-parts", message(fields, mixed(rng)))
    yield Question("on its way out, far down", "smtp-body", message(head("x"), ["a" * 30, "after", "warn", "a" * 30, "a", "warn"]))
    for body in ("plain text", "x" * 3000):
        yield Question(f"untouched {len(body)}", "plain", message(head("nothing"), [body]))


ADDRESSES = ["user@else.test", "one@in.else.test", "someone@old.test", "user", "user@host", "chain1@else.test", "self@else.test", "local@else.test",
             "ext+more@else.test", "two@else.test", "quoted@else.test", "root@in.else.test", "a@x.deep.else.test", "a@deep.else.test", "a@x.keep.else.test",
             "user+x", "site!user", "user%site", "USER@Else.Test", "a@else.test", "loop@else.test", "same@else.test"]
FORMS = ["{}", "<{}>", "Name <{}>", "\"Na, me\" <{}>", "{} (comment)", "Group: {};", "=?utf-8?q?x?= <{}>"]


def addressed(rng, line, number):
    """A message with addresses in its header and its envelope."""
    def some(form=None):
        return (form or rng.choice(FORMS)).format(rng.choice(ADDRESSES))
    fields = [f"From: {some()}", "Date: Sat, 21 Nov 2026 09:44:09 +0000", "Message-ID: <one@client.test>"]
    fields.append("To: " + rng.choice([", ", ",\r\n ", ","]).join(some() for _ in range(rng.randint(1, 4))))
    for name in ("Cc", "Reply-To", "Sender", "Resent-To", "Resent-From", "Errors-To", "Bcc"):
        if rng.random() < 0.25:
            fields.append(f"{name}: {some()}")
    rng.shuffle(fields)
    sender = rng.choice(["", "sender@client.test"] + ADDRESSES)
    recipients = tuple(dict.fromkeys(rng.choice(ADDRESSES) for _ in range(rng.randint(1, 3))))
    return Question(f"addresses {number}", line, message(fields), sender=sender, recipients=recipients)


QUOTAS = {"local": 8, "remote": 4, "canonical": 10, "canonical-remote": 4, "sender": 6, "recipient": 6, "part": 4, "masquerade": 8, "masquerade-all": 4, "bcc": 8,
          "virtual": 10, "few": 6, "unmapped": 4, "missing": 4, "smtp-generic": 8, "smtp-ext": 4, "filtered": 3}


def addresses(rng):
    for line, quota in QUOTAS.items():
        for number in range(quota):
            yield addressed(rng, line, number)
    for subject in ("warn", "quiet", "info", "pre", "replace", "ignore", "strip", "dunno", "gone", "nothing"):
        yield Question(f"on its way out {subject}", "smtp-checks", message(head(subject, "MIME-Version: 1.0", "Content-Type: text/plain")))
    mime = ["MIME-Version: 1.0", "Content-Transfer-Encoding: 8bit"]
    parts = ["--b", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", "\u00e4 = x", "", "--b", "Content-Type: text/plain", "", "seven", "--b--"]
    for line in ("smtp-7bit", "smtp-8bit"):
        for name, fields, body in (("text", [*mime, "Content-Type: text/plain; charset=utf-8"], ["gr\u00fc\u00df", "a=b", "trailing ", "x" * 100, ".dot", "From me"]),
                                   ("parts", [*mime, "Content-Type: multipart/mixed; boundary=b"], parts),
                                   ("seven", [*mime, "Content-Type: text/plain"], ["only seven"])):
            yield Question(f"eight bits: {name}", line, message(head("x", *fields), body), mail_options=("BODY=8BITMIME",))
    yield Question("filtered for two", "filtered", message(head("x")), recipients=("user@else.test", "a@old.test"))
    yield Question("filtered again", "refiltered", message(head("x")))
    for recipient in ("d@else.test", "a@else.test", "second@else.test"):
        yield Question(f"as deep as may be: {recipient}", "few", message(head("x")), recipients=(recipient,))
    for name, value in BLANKS.items():
        yield Question(f"without commas: {value}", "blanks", message(["From: x@else.test", f"To: {value}", "Subject: x"]), recipients=(f"{name.replace(' ', '-')}@blank.test",))
    for line in ("plain", "missing", "local", "remote"):
        yield Question("nothing but a subject", line, message(["Subject: x"]))
        yield Question("no header at all", line, b"text only\r\n")
        yield Question("resent", line, message(head("x", "Resent-From: r@else.test")))


def questions(rng):
    yield from checks(rng)
    yield from addresses(rng)


# name -> (when, why)
def said_alike(change):
    """Only what `change` does to Postfix's answer is different."""
    def alike(question, postfix, posthorn):
        replies, lines, got = postfix
        return (replies, sorted(change(line) for line in lines), [(sender, recipients, change(body)) for sender, recipients, body in got]) == \
            (posthorn[0], sorted(posthorn[1]), posthorn[2])
    return alike


def same_decoded(question, postfix, posthorn):
    """The same octets in quoted-printable, whose lines end elsewhere; a part without such octets needs none."""
    def plain(answer):
        return [(sender, recipients, re.sub(r"Content-Transfer-Encoding: (quoted-printable|7bit)\r\n", "", re.sub(r"=\r?\n", "", body)))
                for sender, recipients, body in answer[2]]
    return question.line == "smtp-7bit" and postfix[:2] == posthorn[:2] and plain(postfix) == plain(posthorn)


def all_seven(question, postfix, posthorn):
    """What has no octet above 127 went out as it came."""
    same = [(sender, recipients, re.sub(r"Content-Transfer-Encoding: \S+\r\n", "", body)) for sender, recipients, body in postfix[2]] == \
        [(sender, recipients, re.sub(r"Content-Transfer-Encoding: \S+\r\n", "", body)) for sender, recipients, body in posthorn[2]]
    return question.line == "smtp-7bit" and question.content.isascii() and postfix[:2] == posthorn[:2] and same


def but_for_bcc(question, postfix, posthorn):
    """Postfix's further warnings alone are missing."""
    def others(lines):
        return sorted(line for line in lines if "warning: multi-valued " not in line)
    return b"\nBcc:" in question.content and set(posthorn[1]) <= set(postfix[1]) and \
        (postfix[0], others(postfix[1]), postfix[2]) == (posthorn[0], others(posthorn[1]), posthorn[2])


ACCEPTED = {
    "dropped-bcc": (but_for_bcc, "the addresses of a Bcc: field that goes anyway are not looked up, so that no warning comes of them"),
    "label-of-seven": (all_seven, "a message without octets above 127 goes as it is to a host without 8BITMIME; Postfix encodes it where it was called 8bit"),
    "own-line-ends": (same_decoded, "quoted-printable breaks lines at 76 octets, the field that says so keeps its place, and what has no such octets is called 7bit"),
    "unquoted-log": (said_alike(lambda text: re.sub(r'=<"([^"]*)"@', r"=<\1@", text)),
                     "delivery lines show addresses without quotes: info_log_address_format is the client's, not cleanup's"),
    "whole-daemon": (said_alike(lambda text: re.sub(r"(From: )MAILER-DAEMON(?=\r)", r"\1Mail Delivery System <MAILER-DAEMON@demo.test>", text)),
                     "a From: made for the null sender is a whole address"),
}


def accepted(question, postfix, posthorn):
    for name, (when, _) in ACCEPTED.items():
        if when(question, postfix, posthorn):
            return name
    return None
