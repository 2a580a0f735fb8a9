// The log of a mail system: half of each line is what strangers said. Whatever it is, the questions fit a line of SMTP, none is there twice, the most frequent come
// first, the pieces in which the log is read do not matter, and a question that is written as a line of the log is read as itself.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "config/site.hpp"
#include "smtp/path.hpp"
#include "whatif/mail_log.hpp"

#include <fmt/format.h>

#include <set>

namespace posthorn::fuzz {

using namespace posthorn::whatif;

namespace {

std::string shown(const LogQuestion& one)
{
    return fmt::format("{}|{}|{}|{}|{}|{}|{}|{}|{}", one.tag, one.local, one.client.name, one.client.address, one.helo, one.esmtp, one.login,
                       one.sender, one.recipient);
}

std::string shown(const LogQuestions& found)
{
    std::string text;
    for (const LogQuestion& one : found.questions)
        text += fmt::format("{}|{}|{}|{}\n", shown(one), one.accepted, one.refused, one.refusal);
    for (const auto& [reason, times] : found.not_asked)
        text += fmt::format("{}|{}\n", reason, times);
    return text;
}

LogQuestions read(std::string_view text)
{
    MailLog log;
    log.feed(text);
    return log.take();
}

bool one_word(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) > 32 && c != 127; });
}

bool one_line(std::string_view text)
{
    return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 32 && c != 127 && c != '<' && c != '>'; });
}

void check(const LogQuestion& one)
{
    FUZZ_CHECK(one.times() > 0 && (one.refused > 0) >= !one.refusal.empty());
    FUZZ_CHECK(!one.tag.empty() && one_line(one.sender) && one_line(one.recipient) && !one.recipient.empty() && one.recipient.size() < 900);
    FUZZ_CHECK(one_word(one.helo) && one.helo.size() <= 255 && one_word(one.login) && one.login.size() <= 200);
    if (one.local) {
        FUZZ_CHECK(one.client.address.empty() && one.helo.empty() && one.login.empty() && one.refused == 0);
        return;
    }
    FUZZ_CHECK(config::parse_host_address(one.client.address).has_value());
    FUZZ_CHECK(one.client.name == migrate::Client().name || smtp::is_valid_hostname(one.client.name));
    if (one.refusal.empty())
        return;
    const std::string line =
        fmt::format("x {}[1]: NOQUEUE: reject: RCPT from {}[{}]: {}; from=<{}> to=<{}> proto={}{}{}", one.tag,
                    one.client.name == migrate::Client().name ? "unknown" : one.client.name, one.client.address, one.refusal, one.sender,
                    one.recipient, one.esmtp ? "ESMTP" : "SMTP", one.helo.empty() ? "" : fmt::format(" helo=<{}>", one.helo),
                    one.login.empty() ? "" : fmt::format(" sasl_method=PLAIN sasl_username={}", one.login));
    const LogQuestions again = read(line);
    FUZZ_CHECK(again.questions.size() == 1 && shown(again.questions.front()) == shown(one) && again.questions.front().refusal == one.refusal);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    Choices choices(input);
    const std::uint32_t seed = choices.octet();
    const LogQuestions whole = read(input);
    std::set<std::string> seen;
    std::uint64_t times = ~std::uint64_t{0};
    for (const LogQuestion& one : whole.questions) {
        check(one);
        FUZZ_CHECK(seen.insert(shown(one)).second && one.times() <= times);
        times = one.times();
    }
    MailLog log;
    in_pieces(input, seed, [&](std::string_view piece) {
        log.feed(piece);
        return true;
    });
    FUZZ_CHECK(shown(log.take()) == shown(whole));
}

}  // namespace posthorn::fuzz
