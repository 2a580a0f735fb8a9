// inject/dialogue.hpp: the client's side of a session of our own SMTP server.                               RFC 5321, 2920, 3030, 4954
// Order    mails go in one write, each as MAIL, RCPT, BDAT, RSET; replies are matched by position. Where the server was told not to offer CHUNKING,
//          each mail waits for the answer to its DATA.
// Errors   a reply is a value, with the mail or the recipient that it is for. After 421 the session has ended, and what stands behind it was not looked
//          at: those mails are given back untouched. Of what was under way when the connection broke, nobody knows: their recipients are told so.
// Memory   the text of one write beside the mails.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "net/stream.hpp"
#include "smtp/ehlo.hpp"
#include "smtp/reply.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::inject {

struct Mail {
    std::string sender;  // as commands have it: `"a b"@example.test`; empty: the null sender
    std::vector<std::string> recipients;  // likewise
    std::string content;  // stored form
    bool utf8 = false;  // an address or the header needs SMTPUTF8
    // Once it was tried:
    bool tried = false;
    std::vector<smtp::Reply> replies;  // for each recipient: 250, or why not
};

struct Login {
    std::string user, password;
};

class Dialogue {
public:
    explicit Dialogue(std::unique_ptr<net::Stream> stream, std::chrono::milliseconds timeout) : stream_(std::move(stream)), timeout_(timeout) {}
    Dialogue(Dialogue&&) = delete;

    /// Greeting, EHLO, and AUTH where there is a login. A reply: what was refused. None: it may begin.
    awaitable<std::optional<smtp::Reply>> open(std::string name, std::optional<Login> login);
    /// False: the session is over; mails that were not `tried` may be, in another one.
    awaitable<bool> send(std::span<Mail> mails);
    awaitable<void> quit();

private:
    awaitable<Result<smtp::Reply>> next();
    awaitable<Result<void>> write(std::string_view text);
    awaitable<bool> send_chunks(std::span<Mail> mails);
    awaitable<bool> send_data(Mail& mail);
    awaitable<bool> hear_envelope(Mail& mail, bool& begun);
    awaitable<bool> hear(Mail& mail, smtp::Reply& reply);
    awaitable<bool> hear_chunk(Mail& mail);
    awaitable<bool> hear_reset();
    std::string envelope_of(const Mail& mail) const;

    std::unique_ptr<net::Stream> stream_;
    std::chrono::milliseconds timeout_;
    smtp::Features offered_;
    smtp::ReplyParser parser_;
    std::string heard_;
    bool over_ = false, lost_ = false;
};

}  // namespace posthorn::inject
