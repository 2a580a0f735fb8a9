// whatif/mail_log.hpp: who asked what of an SMTP server, read from its log.                     Log lines of Postfix's and ours; syslog(3)
// Lines    of syslog or of maillog_file, with a time of either kind: "... TAG[PID]: TEXT", TAG as in "postfix/smtpd" or "postfix/submission/smtpd".
// Refused  "ID: reject: RCPT from NAME[ADDRESS]: REPLY; from=<> to=<> proto= helo=<>", with sasl_username= where there was one.
// Taken    smtpd's "ID: client=", qmgr's "ID: from=<>", and the deliveries "ID: to=<>, orig_to=<>": what was given to RCPT is orig_to where it is there.
//          Each recipient of a mail counts once, however often it was tried. HELO is not there: it is what the same client said when it was refused.
// Local    pickup's "ID: uid=": no client and no RCPT.
// Units    16 KiB of a line, the rest of it is not looked at; 300 000 different questions, 200 000 mails under way: what is beyond is counted.
// Trust    none: senders choose half of what stands there. Whatever it is, the questions fit an SMTP line, and nothing is asked twice.
#pragma once

#include "migrate/questions.hpp"

#include <cstdint>
#include <list>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace posthorn::whatif {

struct LogQuestion {
    std::string tag;  // whose line: "postfix/smtpd"; of local mail "postfix/pickup"
    bool local = false;  // handed in on this machine: of the rest there are sender and recipient
    migrate::Client client;
    std::string helo;  // empty: the log does not have it
    bool esmtp = true;
    std::string login, sender, recipient;
    std::uint64_t accepted = 0, refused = 0;  // how often
    std::string refusal;  // the last one's reply
    std::uint64_t times() const { return accepted + refused; }
};

struct LogQuestions {
    std::vector<LogQuestion> questions;  // the most frequent first; those that are equally so in an order that the time of day has no part in
    std::map<std::string, std::uint64_t> not_asked;  // by reason, how often
};

class MailLog {
public:
    /// Any piece of a log. Files come in the order of their time, with end_of_file() behind each.
    void feed(std::string_view octets);
    void end_of_file();
    /// Once, at the end.
    LogQuestions take();

private:
    struct Mail {
        std::string id, tag, login, sender;
        migrate::Client client;
        bool local = false, has_sender = false;
        std::set<std::string, std::less<>> recipients;
    };
    struct Helo {
        std::string name;
        bool esmtp = true;
    };
    using Mails = std::list<Mail>;

    void line(std::string_view text);
    void smtpd(std::string_view tag, std::string_view id, std::string_view said);
    void refused(std::string_view tag, std::string_view said);
    void refused_recipient(std::string_view tag, std::string_view said);
    void begins(Mail mail);
    void delivery(Mail& mail, std::string_view said);
    void ended(std::string_view id);
    void count(const Mail& mail);
    void count(LogQuestion question);
    void leave_out(std::string_view reason, std::uint64_t times = 1);

    std::string rest_;  // of a line that is not whole; not more than is looked at
    Mails mails_;  // under way, the oldest first
    std::map<std::string, Mails::iterator, std::less<>> by_id_;
    std::unordered_map<std::string, LogQuestion> questions_;
    std::unordered_map<std::string, Helo> said_helo_;  // by address
    std::map<std::string, std::uint64_t> not_asked_;
};

}  // namespace posthorn::whatif
