"""The sessions that Postfix's page of workarounds shows, and what a log of ours has instead: compared by script, not by eye.

    seed_transcripts.py LOG PEER ADDRESS:PORT      the last session with that server in LOG (debug_peer_list), held against the page's
    seed_transcripts.py --line LOG RECIPIENT       the last log line about a recipient, held against the German document's

Prints ours in the page's manner; exit 1, and a diff, where it is another one. What may differ: our client's address, the number behind
SIZE=, message id and content, which are the page's own.
"""
import difflib
import re
import sys

# As printed; a line that begins with a blank continues the one before it.
PAGE = {
    "frontbridge": """\
S: 220 VA3EHSMHS018.bigfish.com Microsoft ESMTP MAIL Service ready at
       Sun, 28 Nov 2010 19:01:22 +0000
C: EHLO amnesiac.example.com
S: 250-VA3EHSMHS018.bigfish.com Hello [192.0.2.1]
S: 250-SIZE 157286400
S: 250-PIPELINING
S: 250-ENHANCEDSTATUSCODES
S: 250-STARTTLS
S: 250-AUTH
S: 250-8BITMIME
S: 250-BINARYMIME
S: 250 CHUNKING
C: MAIL FROM:<sender@example.com> SIZE=338
C: RCPT TO:<receiver@example.com>
C: RSET
C: QUIT
S: 221 2.0.0 Service closing transmission channel
""",
    "exchange-2007": """\
S: 220 exchange.example.com Microsoft ESMTP MAIL Service ready at
       Sun, 28 Nov 2010 02:41:13 -0500
C: EHLO amnesiac.example.com
S: 250-exchange.example.com Hello [192.0.2.1]
S: 250-SIZE 29999104
S: 250-PIPELINING
S: 250-DSN
S: 250-ENHANCEDSTATUSCODES
S: 250-STARTTLS
S: 250-AUTH
S: 250-8BITMIME
S: 250-BINARYMIME
S: 250-CHUNKING
S: 250 XEXCH50
C: MAIL FROM:<sender@example.com>
C: RCPT TO:<recipient@example.com>
C: RSET
C: QUIT
S: 250 2.1.0 Sender OK
S: 250 2.1.5 Recipient OK
S: 250 2.0.0 Resetting
S: 221 2.0.0 Service closing transmission channel
""",
    "exchange-engineering": """\
S: 220 mail7.exchange.microsoft.com Microsoft ESMTP MAIL Service ready
       at Sat, 27 Nov 2010 23:43:19 -0800
C: EHLO amnesiac.example.com
S: 250-mail7.exchange.microsoft.com Hello [192.0.2.1]
S: 250-SIZE 104857600
S: 250-PIPELINING
S: 250-DSN
S: 250-ENHANCEDSTATUSCODES
S: 250-STARTTLS
S: 250-X-ANONYMOUSTLS
S: 250-AUTH
S: 250-X-EXPS NTLM
S: 250-8BITMIME
S: 250-BINARYMIME
S: 250-CHUNKING
S: 250-XEXCH50
S: 250 XSHADOW
C: MAIL FROM:<sender@example.com>
C: RCPT TO:<recipient@example.com>
C: RSET
C: QUIT
S: 250 2.1.0 Sender OK
S: 250 2.1.5 Recipient OK
S: 250 2.0.0 Resetting
S: 221 2.0.0 Service closing transmission channel
""",
    "frontbridge-db3-006": """\
S: 220 DB3EHSMHS006.bigfish.com Microsoft ESMTP MAIL Service ready at
       Sun, 28 Nov 2010 07:47:08 +0000
C: EHLO amnesiac.example.com
S: 250-DB3EHSMHS006.bigfish.com Hello [192.0.2.1]
S: 250-SIZE 157286400
S: 250-PIPELINING
S: 250-ENHANCEDSTATUSCODES
S: 250-STARTTLS
S: 250-AUTH
S: 250-8BITMIME
S: 250-BINARYMIME
S: 250 CHUNKING
C: MAIL FROM:<sender@example.com>
C: RCPT TO:<recipient@example.com>
C: RSET
C: QUIT
S: 221 2.0.0 Service closing transmission channel
""",
    "frontbridge-db3-003": """\
S: 220 DB3EHSMHS003.bigfish.com Microsoft ESMTP MAIL Service ready at
       Sun, 28 Nov 2010 07:27:55 +0000
C: EHLO amnesiac.example.com
S: 250-DB3EHSMHS003.bigfish.com Hello [192.0.2.1]
S: 250-SIZE 157286400
S: 250-PIPELINING
S: 250-ENHANCEDSTATUSCODES
S: 250-STARTTLS
S: 250-AUTH
S: 250-8BITMIME
S: 250-BINARYMIME
S: 250 CHUNKING
C: MAIL FROM:<sender@example.com>
C: RCPT TO:<recipient@example.com>
C: DATA
S: 250 2.1.0 Sender OK
S: 250 2.1.5 Recipient OK
S: 354 Start mail input; end with <CRLF>.<CRLF>
C: [message-content]
C: .
C: QUIT
S: 250 2.6.0 <20101128070828.AB036504373@amnesiac.example.com>
             [InternalId=11073071] Queued mail for delivery
S: 221 2.0.0 Service closing transmission channel
""",
}

# The line of the German document; the host's name, its address and the times are that server's own.
GERMAN_LINE = ("postfix/smtp[29299]: CB1223A942: to=<user@example.com>, relay=exchange.example.com[192.168.10.20]:25, delay=0.01, delays=0/0/0/0, "
               "dsn=4.4.2, status=undeliverable (lost connection with exchange.example.com[192.168.10.20] while sending RCPT TO)")


def page(peer):
    """The lines of a session, unfolded."""
    lines = []
    for line in PAGE[peer].splitlines():
        if line.startswith(" "):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    return lines


def spoken(log, relay):
    """The last session with `relay` ("127.0.0.1[127.0.0.1]:2525" or its end) in a log, as S: and C: lines."""
    lines = []
    for direction, peer, text in re.findall(r"(?m)smtp\[\d+\]: ([<>]) (\S+): (.*)$", log):
        if not peer.endswith(relay):
            continue
        if direction == "<" and text.startswith("220 "):
            lines = []
        lines.append(("S: " if direction == "<" else "C: ") + text)
    return lines


def comparable(lines):
    """Without what is of one client and one message alone."""
    changes = [(r"Hello \[[^]]*\]", "Hello [client]"), (r"(MAIL FROM:<[^>]*> SIZE=)\d+", r"\1n"),
               (r"^C: \[.*content\]$", "C: [content]"), (r"^(S: 250 2\.6\.0) <[^>]*>", r"\1 <message-id>")]
    made = []
    for line in lines:
        for pattern, instead in changes:
            line = re.sub(pattern, instead, line)
        made.append(line)
    return made


def difference(log, peer, relay):
    """Empty where the last session is the page's."""
    return "\n".join(difflib.unified_diff(comparable(page(peer)), comparable(spoken(log, relay)), "the page", "ours", lineterm="", n=2))


def delivery_line(line):
    """A log line without time, process, queue id, host, address, port and durations."""
    line = line[line.index("postfix/"):]
    for pattern, instead in ((r"\[\d+\]: \w+:", "[pid]: id:"), (r"[\w.-]+\[[\d.]+\](:\d+)?(?= |,)", "host[address]"),
                             (r"delay=[\d.]+, delays=[\d./]+(?:, tls=\S+?)?(?=, )", "delay=d, delays=d")):
        line = re.sub(pattern, instead, line)
    return line


def main(path, peer, relay):
    if path == "--line":
        line = [line for line in open(peer, encoding="utf-8", errors="replace") if f"to=<{relay}>" in line][-1].rstrip("\n")
        same = delivery_line(line) == delivery_line(GERMAN_LINE)
        print("-- but for process, queue id, host and times the line of the document" if same else f"-- this is not the document's line:\n{GERMAN_LINE}\n{line}")
        return 0 if same else 1
    log = open(path, encoding="utf-8", errors="replace").read()
    print("\n".join(spoken(log, relay)))
    different = difference(log, peer, relay)
    if different:
        print("-- this is not the page's session:\n" + different)
        return 1
    print("-- line for line the session of the page")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
