#include "inject/dialogue.hpp"

#include "async/run.hpp"

#include <doctest/doctest.h>

#include <array>

using namespace posthorn;
using namespace posthorn::inject;

namespace {

/// Two mails, of two recipients and of one, for a server that gives so many of its replies and is gone.
struct Cut {
    explicit Cut(bool chunking, std::span<const char* const> replies)
    {
        std::string said = std::string("220 here ESMTP\r\n250-here\r\n250-PIPELINING\r\n") + (chunking ? "250-CHUNKING\r\n" : "") + "250 DSN\r\n";
        for (const char* reply : replies)
            said += std::string(reply) + "\r\n";
        auto [outside, inside] = net::memory_pair(loop.get_executor());
        run(loop, say(inside.get(), said));
        Dialogue dialogue(std::move(outside), std::chrono::minutes{1});
        mails[0].sender = mails[1].sender = "a@b.test";
        mails[0].recipients = {"x@b.test", "y@b.test"};
        mails[1].recipients = {"z@b.test"};
        mails[0].content = mails[1].content = "Subject: x\r\n\r\nx\r\n";
        const auto refused = run(loop, dialogue.open("here", {}));
        REQUIRE_FALSE(refused);
        went_on = run(loop, dialogue.send(mails));
    }
    static awaitable<void> say(net::Stream* server, std::string text)
    {
        CHECK(co_await server->write(text));
        server->close();
    }
    unsigned code(std::size_t mail, std::size_t recipient) const { return mails.at(mail).replies.at(recipient).code; }

    asio::io_context loop;
    std::array<Mail, 2> mails;
    bool went_on = false;
};

}  // namespace

TEST_CASE("dialogue: wherever a session is lost, what it has not acknowledged is not taken, and what it may have taken is not sent again")
{
    static constexpr std::array replies{"250 MAIL", "250 RCPT", "550 RCPT", "250 BDAT", "250 RSET", "250 MAIL", "250 RCPT", "250 BDAT", "250 RSET"};
    for (std::size_t heard = 0; heard <= replies.size(); ++heard) {
        CAPTURE(heard);
        const Cut cut(true, std::span(replies).first(heard));
        CHECK(cut.went_on == (heard == replies.size()));
        CHECK(cut.code(0, 0) == (heard >= 4 ? 250 : 451));
        CHECK(cut.code(0, 1) == (heard >= 3 ? 550 : 451));
        CHECK(cut.code(1, 0) == (heard >= 8 ? 250 : 451));
        CHECK(cut.mails[0].tried);
        CHECK(cut.mails[1].tried);
    }
}

TEST_CASE("dialogue: without CHUNKING a mail that nothing was said of is for another session")
{
    static constexpr std::array replies{"250 MAIL", "250 RCPT", "550 RCPT", "354 DATA", "250 .",   "250 RSET",
                                        "250 MAIL", "250 RCPT", "354 DATA", "250 .",    "250 RSET"};
    for (std::size_t heard = 0; heard <= replies.size(); ++heard) {
        CAPTURE(heard);
        const Cut cut(false, std::span(replies).first(heard));
        CHECK(cut.went_on == (heard == replies.size()));
        CHECK(cut.code(0, 0) == (heard >= 5 ? 250 : 451));
        CHECK(cut.code(0, 1) == (heard >= 3 ? 550 : 451));
        CHECK(cut.mails[1].tried == (heard >= 6));
        if (cut.mails[1].tried)
            CHECK(cut.code(1, 0) == (heard >= 10 ? 250 : 451));
    }
}
