// REQUIRETLS is taken inside TLS, and travels with the message.                                                                    RFC 8689 2
#include "receive/testing.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

/// TLS in name alone.
struct NominalTls final : TlsAcceptor {
    awaitable<Result<Secured>> accept(std::unique_ptr<net::Stream> stream, std::string) override { co_return Secured(std::move(stream), "", {}); }
};

bool offers(std::string_view reply) { return reply.find("REQUIRETLS\r\n") != std::string_view::npos; }

const std::string asks = "MAIL FROM:<a@b.test> REQUIRETLS", unsupported = "555 5.5.4 Unsupported option: REQUIRETLS\r\n";

}  // namespace

TEST_CASE("REQUIRETLS is offered and taken inside TLS alone, unless it is hidden or switched off; the envelope has it, Received: says ESMTPS")
{
    struct Setting {
        std::vector<std::pair<std::string, std::string>> written;
        bool offered;
    };
    for (const Setting& one : std::initializer_list<Setting>{{{}, true},
                                                             {{{"requiretls_enable", "no"}}, false},
                                                             {{{"smtpd_discard_ehlo_keywords", "requiretls, etrn"}}, false},
                                                             {{{"smtpd_tls_wrappermode", "yes"}}, true}}) {
        NominalTls tls;
        auto written = one.written;
        written.emplace_back("smtpd_tls_security_level", "may");
        House house(options_of(std::move(written)));
        house.tls = &tls;
        const bool wrapped = house.options.tls_wrapper;
        Talk talk(house);
        if (!wrapped) {
            CHECK(!offers(talk("EHLO x")));
            CHECK(talk(asks) == unsupported);
            CHECK(talk("STARTTLS").starts_with("220 "));
        }
        CHECK(offers(talk("EHLO x")) == one.offered);
        if (!one.offered) {
            CHECK(talk(asks) == unsupported);
            continue;
        }
        CHECK(talk("MAIL FROM:<a@b.test> REQUIRETLS=yes").starts_with("555 5.5.4 "));
        for (const bool asked : {true, false}) {
            CHECK(talk(asked ? asks : "MAIL FROM:<a@b.test>") == "250 2.1.0 Ok\r\n");
            CHECK(talk("RCPT TO:<user@example.test>").starts_with("250 "));
            CHECK(talk("DATA").starts_with("354 "));
            CHECK(talk("Subject: x\r\n\r\nx\r\n.").starts_with("250 "));
            CHECK(house.queue.stored.back().first.requiretls() == asked);
            CHECK(house.queue.stored.back().second.inline_octets().find(" with ESMTPS id ") != std::string::npos);
        }
    }
}

TEST_CASE("REQUIRETLS: whom XCLIENT names is within the same TLS")
{
    NominalTls tls;
    House house(options_of({{"smtpd_tls_security_level", "may"}, {"smtpd_authorized_xclient_hosts", "192.0.2.1"}}));
    house.tls = &tls;
    Talk talk(house);
    talk("EHLO x");
    CHECK(talk("XCLIENT ADDR=192.0.2.77").starts_with("220 "));
    CHECK(!offers(talk("EHLO x")));
    CHECK(talk(asks) == unsupported);
    CHECK(talk("STARTTLS").starts_with("220 "));
    talk("EHLO x");
    Talk inside(house);
    inside("EHLO x");
    CHECK(inside("STARTTLS").starts_with("220 "));
    inside("EHLO x");
    CHECK(inside("XCLIENT ADDR=192.0.2.77").starts_with("220 "));
    CHECK(offers(inside("EHLO x")));
    CHECK(inside(asks) == "250 2.1.0 Ok\r\n");
}
