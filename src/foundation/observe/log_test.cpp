#include "observe/address_form.hpp"
#include "observe/log.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::observe;

TEST_CASE("log: levels print as Postfix prints them, control characters never")
{
    auto sink = std::make_shared<MemorySink>();
    const Log log(sink, "postfix/smtp");
    log.info("plain {}", 1);
    log.warning("odd\r\n{}", "line");
    log.as("postfix/cleanup").fatal("end");
    CHECK(sink->lines == std::vector<std::string>{"postfix/smtp: plain 1", "postfix/smtp: warning: odd??line", "postfix/cleanup: fatal: end"});
}

TEST_CASE("log: where addresses are asked for in their internal form, quotes go, and nothing else changes")
{
    CHECK(with_internal_addresses(R"(4gD: from=<"a b"@x.test>, size=1)") == "4gD: from=<a b@x.test>, size=1");
    CHECK(with_internal_addresses(R"(4gD: to=<"a\"b\\c"@x.test>, orig_to=<"root x">, relay=none)") ==
          R"(4gD: to=<a"b\c@x.test>, orig_to=<root x>, relay=none)");
    for (const char* same : {R"(from=<plain@x.test> helo=<"a b">)", R"(<"a b"@x.test>: Relay access denied; from=<>)", R"(from=<"no end)",
                             R"(from=<"x" y>)", "=<\"", ""})
        CHECK(with_internal_addresses(same) == same);
    auto sink = std::make_shared<MemorySink>();
    const auto form = std::make_shared<AddressForm>(sink, "external");
    const Log log(form, "postfix/qmgr");
    log.info(R"(from=<"a b"@x.test>)");
    form->set("internal");
    log.info(R"(from=<"a b"@x.test>)");
    CHECK(sink->lines == std::vector<std::string>{R"(postfix/qmgr: from=<"a b"@x.test>)", "postfix/qmgr: from=<a b@x.test>"});
}
