#include "receive/ehlo_reply.hpp"

#include <fmt/format.h>

#include <vector>

namespace posthorn::receive {

std::string ehlo_reply(const Options& options, smtp::KeywordSet discarded, bool starttls, bool pipe_connect)
{
    using smtp::Keyword;
    std::vector<std::string> lines{options.myhostname};
    const auto offer = [&](Keyword keyword, std::string line) {
        if (!discarded.has(keyword))
            lines.push_back(std::move(line));
    };
    offer(Keyword::pipelining, "PIPELINING");
    offer(Keyword::size, options.message_size_limit == 0 ? "SIZE" : fmt::format("SIZE {}", options.message_size_limit));
    if (!options.disable_vrfy)
        offer(Keyword::vrfy, "VRFY");
    offer(Keyword::etrn, "ETRN");
    if (starttls)
        offer(Keyword::starttls, "STARTTLS");
    offer(Keyword::enhanced_status_codes, "ENHANCEDSTATUSCODES");
    offer(Keyword::eight_bit_mime, "8BITMIME");
    offer(Keyword::dsn, "DSN");
    if (options.smtputf8)
        offer(Keyword::smtputf8, "SMTPUTF8");
    offer(Keyword::chunking, "CHUNKING");
    if (pipe_connect && !discarded.has(Keyword::pipelining))
        offer(Keyword::pipe_connect, "PIPECONNECT");
    std::string limits;
    if (options.recipient_limit < Options::usual_recipient_limit)
        limits += fmt::format(" RCPTMAX={}", options.recipient_limit);
    if (options.session_mail_limit != 0)
        limits += fmt::format(" MAILMAX={}", options.session_mail_limit);
    if (!limits.empty())
        offer(Keyword::limits, "LIMITS" + limits);
    std::string text;
    for (std::size_t at = 0; at < lines.size(); ++at)
        text += fmt::format("250{}{}\r\n", at + 1 == lines.size() ? ' ' : '-', lines[at]);
    return text;
}

}  // namespace posthorn::receive
