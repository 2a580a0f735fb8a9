#include "handoff/reasons.hpp"

namespace posthorn::handoff {

namespace {

struct Word {
    std::string_view detail;               // subject and detail; a subject alone is for the rest of it
    std::string_view word;
};
// RFC 3463 section 3, with the registry's additions that mail servers use.
constexpr Word status_words[] = {
    {"0", "unspecified"},
    {"1", "bad-address"},
    {"1.1", "unknown-user"},
    {"1.2", "unknown-domain"},
    {"1.8", "bad-sender"},
    {"1.10", "no-mail-taken"},
    {"2", "mailbox"},
    {"2.1", "mailbox-disabled"},
    {"2.2", "mailbox-full"},
    {"2.3", "too-large"},
    {"3", "system"},
    {"3.1", "system-full"},
    {"3.2", "not-accepting"},
    {"3.4", "too-large"},
    {"4", "network"},
    {"4.1", "no-answer"},
    {"4.2", "bad-connection"},
    {"4.3", "name-service"},
    {"4.4", "no-route"},
    {"4.5", "congestion"},
    {"4.6", "loop"},
    {"4.7", "delivery-expired"},
    {"5", "protocol"},
    {"5.2", "syntax"},
    {"5.3", "too-many-recipients"},
    {"6", "content"},
    {"6.3", "conversion"},
    {"7", "policy"},
    {"7.1", "not-authorized"},
    {"7.4", "security-features"},
    {"7.5", "cryptography"},
    {"7.8", "authentication"},
    {"7.10", "encryption-needed"},
    {"7.30", "requiretls-needed"},
};

struct Parts {
    char digit;                            // 2, 4, 5
    std::string_view detail;               // "7.1"
};
bool parts_of(std::string_view status, Parts& parts)
{
    if (status.size() < 5 || (status[0] != '2' && status[0] != '4' && status[0] != '5') || status[1] != '.' || status[2] < '0' || status[2] > '7' ||
        status[3] != '.')
        return false;
    parts = {status[0], status.substr(2)};
    return true;
}

}  // namespace

std::string_view reason_of(std::string_view status)
{
    Parts parts{};
    if (!parts_of(status, parts))
        return "other";
    std::string_view of_subject = "other";
    for (const Word& word : status_words) {
        if (word.detail == parts.detail)
            return word.word;
        if (word.detail == parts.detail.substr(0, 1))
            of_subject = word.word;
    }
    return of_subject;
}

std::string_view reason_of(const Verdict& verdict) { return verdict.retry_at() != 0 ? "greylisted" : reason_of(verdict.status()); }

std::string status_class(std::string_view status)
{
    Parts parts{};
    return parts_of(status, parts) ? std::string{parts.digit, '.', parts.detail[0], '.', 'x'} : "other";
}

}  // namespace posthorn::handoff
