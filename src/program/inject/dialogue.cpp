#include "inject/dialogue.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"
#include "smtp/command.hpp"
#include "smtp/data.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::inject {

namespace {

constexpr std::size_t piece_octets = 64 * 1024;                // of a write: no segment in memory is larger

smtp::Reply unknown_fate() { return {451, "4.3.0", "the answer was lost, and it may have been taken"}; }

/// Its own refusal for each recipient that has none yet.
void refuse_rest(Mail& mail, const smtp::Reply& reply)
{
    for (smtp::Reply& own : mail.replies)
        if (own.code == 0 || own.positive())
            own = reply;
}

/// The reply to the content is that of every recipient that was taken.
void conclude(Mail& mail, const smtp::Reply& reply)
{
    for (smtp::Reply& own : mail.replies)
        if (own.positive())
            own = reply;
}

}  // namespace

awaitable<Result<smtp::Reply>> Dialogue::next()
{
    for (;;) {
        std::string_view rest = heard_;
        auto reply = parser_.feed(rest);
        heard_.erase(0, heard_.size() - rest.size());
        if (!reply)
            co_return reply.error();
        if (std::optional<smtp::Reply>& whole = *reply; whole)
            co_return *std::move(whole);
        std::array<char, 4096> room{};
        stream_->expires_after(timeout_);
        CO_TRY(const std::size_t got, co_await stream_->read_some(room));
        if (got == 0)
            co_return Error{"lost connection", "4.4.2"};
        heard_.append(room.data(), got);
    }
}

awaitable<Result<void>> Dialogue::write(std::string_view text)
{
    for (; !text.empty(); text.remove_prefix(std::min(text.size(), piece_octets))) {
        stream_->expires_after(timeout_);
        CO_TRY_VOID(co_await stream_->write(text.substr(0, piece_octets)));
    }
    co_return Result<void>{};
}

awaitable<std::optional<smtp::Reply>> Dialogue::open(std::string name, std::optional<Login> login)
{
    const smtp::Reply lost(421, "4.3.0", "the SMTP server does not answer");
    const auto greeting = co_await next();
    if (!greeting || !greeting->positive())
        co_return greeting ? *greeting : lost;
    const std::string hello = fmt::format("EHLO {}\r\n", name);
    (void)co_await write(hello);                               // where it has gone, it has said why
    const auto answer = co_await next();
    if (!answer || !answer->positive())
        co_return answer ? *answer : lost;
    offered_ = smtp::parse_ehlo(*answer);
    if (!login)
        co_return std::nullopt;
    // RFC 4616: nobody to act for, who it is, the password.
    const std::string line = fmt::format("AUTH PLAIN {}\r\n", base64_encode(fmt::format("{0}{1}{0}{2}", '\0', login->user, login->password)));
    (void)co_await write(line);
    const auto proved = co_await next();
    if (!proved || proved->code != 235)
        co_return proved ? *proved : lost;
    co_return std::nullopt;
}

std::string Dialogue::envelope_of(const Mail& mail) const
{
    using smtp::Keyword;
    std::string text = fmt::format("MAIL FROM:<{}>", mail.sender);
    if (offered_.has(Keyword::size))
        text += fmt::format(" SIZE={}", mail.content.size());
    if (offered_.has(Keyword::eight_bit_mime) && message::has_8bit(mail.content))
        text += " BODY=8BITMIME";
    if (offered_.has(Keyword::smtputf8) && mail.utf8)
        text += " SMTPUTF8";
    text += "\r\n";
    for (const std::string& recipient : mail.recipients)
        text += fmt::format("RCPT TO:<{}>\r\n", recipient);
    return text;
}

/// False: the session is over, and what became of the mail is said, unless it was not looked at.
awaitable<bool> Dialogue::hear(Mail& mail, smtp::Reply& reply)
{
    auto heard = co_await next();
    if (heard) {
        reply = *std::move(heard);
        over_ = over_ || reply.code == 421 || reply.code == 521;
        co_return true;
    }
    over_ = lost_ = true;
    refuse_rest(mail, unknown_fate());
    co_return false;
}

/// What stays of a mail is said before it.
awaitable<bool> Dialogue::hear_reset()
{
    const auto reply = co_await next();
    lost_ = lost_ || !reply;
    over_ = over_ || !reply || reply->code == 421;
    co_return !over_;
}

awaitable<bool> Dialogue::hear_chunk(Mail& mail)
{
    bool begun = false;
    smtp::Reply reply;
    if (!co_await hear_envelope(mail, begun) || !co_await hear(mail, reply))
        co_return false;
    conclude(mail, reply);
    co_return !over_ && co_await hear_reset();
}

/// The replies to MAIL and RCPT. `begun`: a content is waited for. False: the session is over.
awaitable<bool> Dialogue::hear_envelope(Mail& mail, bool& begun)
{
    begun = false;
    mail.replies.assign(mail.recipients.size(), smtp::Reply());
    smtp::Reply reply;
    mail.tried = true;
    if (!co_await hear(mail, reply))
        co_return false;
    if (over_) {
        mail.tried = false;                                    // 421 to MAIL: it is nothing to this mail
        mail.replies.assign(mail.recipients.size(), reply);
        co_return false;
    }
    const bool taken = reply.positive();
    if (!taken)
        refuse_rest(mail, reply);
    for (smtp::Reply& own : mail.replies) {
        if (!co_await hear(mail, reply))
            co_return false;
        if (taken)
            own = reply;
        if (over_) {
            refuse_rest(mail, reply);
            co_return false;
        }
    }
    begun = std::ranges::any_of(mail.replies, &smtp::Reply::positive);
    co_return true;
}

awaitable<bool> Dialogue::send_chunks(std::span<Mail> mails)
{
    std::string text;
    for (const Mail& mail : mails)
        text += fmt::format("{}BDAT {} LAST\r\n{}RSET\r\n", envelope_of(mail), mail.content.size(), mail.content);
    // Where the server ends the session amid that, what it has said before is still to be read.
    (void)co_await write(text);
    for (auto mail = mails.begin(); mail != mails.end(); ++mail) {
        if (co_await hear_chunk(*mail))
            continue;
        // Behind a 421 nothing was looked at. Where the connection broke, who knows what was.
        for (auto behind = std::next(mail); lost_ && behind != mails.end(); ++behind) {
            behind->tried = true;
            behind->replies.assign(behind->recipients.size(), unknown_fate());
        }
        co_return false;
    }
    co_return true;
}

awaitable<bool> Dialogue::send_data(Mail& mail)
{
    const std::string envelope = envelope_of(mail) + "DATA\r\n";
    (void)co_await write(envelope);
    bool begun = false;
    smtp::Reply reply;
    if (!co_await hear_envelope(mail, begun) || !co_await hear(mail, reply))
        co_return false;
    if (reply.intermediate()) {
        std::string text;
        smtp::DataWriter writer;
        writer.feed(mail.content, text);
        writer.finish(text);
        (void)co_await write(text);
        if (!co_await hear(mail, reply))
            co_return false;
    }
    conclude(mail, reply);
    if (over_)
        co_return false;
    (void)co_await write("RSET\r\n");
    co_return co_await hear_reset();
}

awaitable<bool> Dialogue::send(std::span<Mail> mails)
{
    if (offered_.has(smtp::Keyword::chunking) && offered_.has(smtp::Keyword::pipelining))
        co_return co_await send_chunks(mails);
    for (Mail& mail : mails)
        if (!co_await send_data(mail))
            co_return false;
    co_return true;
}

awaitable<void> Dialogue::quit()
{
    if (!over_ && co_await write("QUIT\r\n"))
        (void)co_await next();
    stream_->close();
}

}  // namespace posthorn::inject
