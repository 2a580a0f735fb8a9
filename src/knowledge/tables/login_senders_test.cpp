#include "tables/login_senders.hpp"

#include "async/run.hpp"
#include "base/clock.hpp"
#include "observe/log.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::tables;

TEST_CASE("local_login_sender_maps: addresses, domains, any and the empty one; nobody who is not listed")
{
    asio::io_context loop;
    HandClock clock;
    const auto sink = std::make_shared<observe::MemorySink>();
    Tables tables{observe::Log(sink, "test"), clock};
    Delimiter delimiter;
    delimiter.characters = "+";
    const LoginSenders senders("inline:{{root=*}, {joe=joe, Joe@here.test @lists.test}, {daemon=NULL}}", "NULL", delimiter, tables);
    const auto allows = [&](std::string login, std::string sender) { return run(loop, senders.allows(std::move(login), std::move(sender))); };
    for (const char* const sender : {"", "anybody@there.test", "x"})
        CHECK(allows("root", sender).value());
    for (const char* const sender : {"joe", "JOE", "joe@here.test", "joe+list@HERE.test", "any@lists.test"})
        CHECK_MESSAGE(allows("joe", sender).value(), sender);
    for (const char* const sender :
         {"", "eve@here.test", "joe@there.test", "any@sub.lists.test", "@lists.test", "any@lists.test@there.test", "joe@here.test.test"})
        CHECK_MESSAGE(!allows("joe", sender).value(), sender);
    CHECK(allows("daemon", "").value());
    CHECK(!allows("daemon", "daemon").value());
    CHECK(!allows("eve", "eve").value());
    const LoginSenders broken("fail:table", "<>", {}, tables);
    CHECK(!run(loop, broken.allows("joe", "joe")).has_value());
    CHECK(LoginSenders::allows_all("static:*"));
    CHECK(!LoginSenders::allows_all("inline:{{root=*}}"));
}
