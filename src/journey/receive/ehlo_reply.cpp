#include "receive/ehlo_reply.hpp"
#include "receive/claims.hpp"

#include <fmt/format.h>

namespace posthorn::receive {

std::string ehlo_reply(const Options& options, smtp::KeywordSet discarded, const Offered& offered)
{
    using smtp::Keyword;
    std::string text;
    text.reserve(256);
    std::size_t last = 0;
    const auto say = [&](std::string_view line) {
        last = text.size();
        text.append("250-").append(line).append("\r\n");
    };
    const auto offer = [&](Keyword keyword, std::string_view line) {
        if (!discarded.has(keyword))
            say(line);
    };
    say(options.myhostname);
    offer(Keyword::pipelining, "PIPELINING");
    offer(Keyword::size, options.message_size_limit == 0 ? std::string("SIZE") : fmt::format("SIZE {}", options.message_size_limit));
    if (!options.disable_vrfy)
        offer(Keyword::vrfy, "VRFY");
    offer(Keyword::etrn, "ETRN");
    if (offered.starttls)
        offer(Keyword::starttls, "STARTTLS");
    if (!offered.auth.empty()) {
        offer(Keyword::auth, "AUTH " + offered.auth);
        if (options.sasl.old_clients)
            offer(Keyword::auth, "AUTH=" + offered.auth);
    }
    if (offered.verp)
        offer(Keyword::verp, "XVERP");
    if (offered.xclient)
        offer(Keyword::xclient, fmt::format("XCLIENT {}", xclient_words));
    if (offered.xforward)
        offer(Keyword::xforward, fmt::format("XFORWARD {}", xforward_words));
    offer(Keyword::enhanced_status_codes, "ENHANCEDSTATUSCODES");
    offer(Keyword::eight_bit_mime, "8BITMIME");
    offer(Keyword::dsn, "DSN");
    if (options.smtputf8)
        offer(Keyword::smtputf8, "SMTPUTF8");
    if (offered.requiretls)
        offer(Keyword::requiretls, "REQUIRETLS");
    if (!offered.future_release.empty())
        offer(Keyword::future_release, "FUTURERELEASE " + offered.future_release);
    offer(Keyword::chunking, "CHUNKING");
    if (offered.pipe_connect && !discarded.has(Keyword::pipelining))
        offer(Keyword::pipe_connect, "PIPECONNECT");
    std::string limits;
    if (options.recipient_limit < Options::usual_recipient_limit)
        limits += fmt::format(" RCPTMAX={}", options.recipient_limit);
    if (options.session_mail_limit != 0)
        limits += fmt::format(" MAILMAX={}", options.session_mail_limit);
    if (!limits.empty())
        offer(Keyword::limits, "LIMITS" + limits);
    text[last + 3] = ' ';
    return text;
}

}  // namespace posthorn::receive
