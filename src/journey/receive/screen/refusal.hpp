// receive/screen/refusal.hpp: the dialogue with a client that failed, or whose manners are to be seen first: it may say who it is and for whom its
// mail would be, for the log; no recipient is taken.                                                 RFC 5321 3.1; postscreen(8)
// Ends     at QUIT, DATA or BDAT, a lost connection, postscreen_command_count_limit and _time_limit, a command that is none of SMTP's.
#pragma once

#include "receive/screen/gate.hpp"
#include "smtp/command.hpp"

namespace posthorn::receive::screen {

class Refusal {
public:
    /// `early` what it has said before it was asked; `reply` what each RCPT is answered with; `watched`, by
    /// Deep, what is looked for in its commands.
    Refusal(Gate& gate, std::unique_ptr<net::Stream> stream, net::Endpoint client, std::string early, std::string reply,
            std::array<bool, deep_tests> watched);
    Refusal(Refusal&&) = delete;

    /// True: nothing that was looked for and counts was found until it named a recipient.
    awaitable<bool> run(bool greet);
    /// Something that counts was found.
    bool failed() const { return failed_; }

private:
    awaitable<bool> say(std::string text);
    awaitable<bool> hear(std::string* line);
    awaitable<void> answer(std::string line);
    awaitable<void> drop(std::string reply);
    awaitable<void> secure();
    bool no_smtp(std::string_view line, std::string_view word) const;
    awaitable<bool> fail(Deep test, std::string reply);
    bool looks_for(Deep test) const { return watched_[static_cast<std::size_t>(test)]; }
    awaitable<std::string> ehlo(bool extended);
    awaitable<void> filter(std::string* line);
    std::string_view after_refusal(const smtp::Command& command) const;
    void hung_up();

    Gate& gate_;
    std::unique_ptr<net::Stream> stream_;
    net::Endpoint address_;
    std::string client_, input_, reply_;
    std::string helo_, sender_, where_ = "CONNECT";
    bool esmtp_ = false, mail_ = false, tls_ = false, over_ = false, bare_ = false, failed_ = false, passed_ = false;
    std::array<bool, deep_tests> watched_;
    int commands_ = 0;
    SteadyTime since_;
    std::list<net::Stream*>::iterator waiting_;
};

}  // namespace posthorn::receive::screen
