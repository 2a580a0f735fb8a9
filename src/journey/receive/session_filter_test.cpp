#include "net/listener.hpp"
#include "observe/testing.hpp"
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <array>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

/// A filter that says what `answer` says to a line ("" hangs up), and remembers what came in one read.
struct ProxyFilter {
    explicit ProxyFilter(asio::io_context& on)
        : listener(on.get_executor(), *net::listen(net::Endpoint(net::IpAddress::loopback(), 0)),
                   [this](std::unique_ptr<net::Stream> stream) { return serve(std::move(stream)); })
    {
        listener.start();
    }
    awaitable<void> serve(std::unique_ptr<net::Stream> stream)
    {
        ++connections;
        std::string text;
        bool content = false;
        std::string said = answer("CONNECT") + "\r\n";
        for (;;) {
            if (said == "\r\n" || !co_await stream->write(said))
                co_return;
            said.clear();
            while (said.empty()) {
                const auto end = text.find(content ? "\r\n.\r\n" : "\r\n");
                if (end == std::string::npos) {
                    std::array<char, 65536> room{};
                    const auto got = co_await stream->read_some(room);
                    if (!got || *got == 0)
                        co_return;
                    text.append(room.data(), *got);
                    segments.emplace_back(room.data(), *got);
                    continue;
                }
                const std::string line = text.substr(0, end);
                text.erase(0, end + (content ? 5 : 2));
                const std::string reply = answer(content ? "END" : line);
                if (content)
                    contents.push_back(line + "\r\n");
                content = !content && line == "DATA" && reply.starts_with("3");
                said += reply + "\r\n";
                if (line == "QUIT")
                    quits = quits + 1;
                if (reply.empty())
                    co_return;
                if (!content && text.find("\r\n") != std::string::npos) {      // a group is answered together
                    (void)co_await stream->write(std::exchange(said, {}));
                    continue;
                }
            }
        }
    }
    std::string answer(const std::string& line)
    {
        heard.push_back(line);
        if (const int left = lives; left >= 0) {
            if (left == 0)
                return {};
            --lives;
        }
        for (const auto& [begin, reply] : script)
            if (line.starts_with(begin))
                return reply;
        if (line.starts_with("EHLO"))
            return pipelining ? "250-filter.test\r\n250-PIPELINING\r\n250 XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT" : "250 filter.test";
        return line == "CONNECT" ? "220 filter.test" : line == "DATA" ? "354 go on" : line == "END" ? "250 2.0.0 filtered" : "250 ok";
    }
    bool pipelining = true;
    int lives = -1;                                        // replies until it dies; -1: it does not
    std::vector<std::pair<std::string, std::string>> script;
    int connections = 0, quits = 0;
    std::vector<std::string> segments, heard, contents;
    net::Listener listener;
};

struct FilterRig {
    explicit FilterRig(std::vector<std::pair<std::string, std::string>> settings = {}) : loop(house.loop), filter(loop)
    {
        settings.emplace_back("smtpd_proxy_filter", fmt::format("127.0.0.1:{}", filter.listener.endpoint().port));
        house.options = options_of(std::move(settings));
    }
    ~FilterRig() { run(loop, filter.listener.close()); }

    template <class Condition>
    bool wait(Condition condition)
    {
        for (int turn = 0; turn < 1000 && !condition(); ++turn) {
            loop.restart();
            loop.run_for(std::chrono::milliseconds(5));
        }
        return condition();
    }
    /// What the client hears to one segment: `replies` lines.
    std::vector<std::string> say(Talk& talk, std::string_view octets, std::size_t replies)
    {
        std::string text;
        talk.write(octets);
        wait([&] { return lines_of(text += talk.receive()).size() >= replies; });
        return lines_of(text);
    }
    House house;
    asio::io_context& loop;
    ProxyFilter filter;
};

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("filter before the queue: what the client sends in a group goes to the filter in a group, and DATA with it")
{
    FilterRig rig;
    {
        Talk talk(rig.house);
        rig.say(talk, "EHLO client.test\r\n", 5);
        CHECK(rig.say(
                  talk,
                  "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<other@example.test>\r\nDATA\r\n",
                  5) == Lines{"250 2.1.0 Ok", "250 2.1.5 Ok",
                              "550 5.1.1 <nobody@example.test>: Recipient address rejected: User unknown in local recipient table", "250 2.1.5 Ok",
                              "354 End data with <CR><LF>.<CR><LF>"});
        CHECK(rig.say(talk, "Subject: s\r\n\r\n..dot\r\n.\r\n", 1) == Lines{"250 2.0.0 filtered"});
    }
    REQUIRE(rig.wait([&] { return rig.filter.quits == 1; }));
    REQUIRE(rig.filter.segments.size() == 4);
    CHECK(rig.filter.segments[0] == "EHLO mx.example.test\r\n");
    CHECK(rig.filter.segments[1] ==
          "XFORWARD NAME=client.test ADDR=192.0.2.1 PORT=40000 HELO=client.test IDENT=[UNAVAILABLE] PROTO=ESMTP SOURCE=REMOTE\r\n"
          "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nRCPT TO:<other@example.test>\r\nDATA\r\n");
    CHECK(rig.filter.segments[2].ends_with("Subject: s\r\n\r\n..dot\r\n.\r\n"));
    CHECK(rig.filter.segments[3] == "QUIT\r\n");
    CHECK(rig.house.queue.asked == 0);
    CHECK(rig.house.queue.ids == 0);
    CHECK(
        rig.house.logged("proxy-accept: END-OF-MESSAGE: 250 2.0.0 filtered; from=<a@b.test> to=<user@example.test> proto=ESMTP helo=<client.test>"));
    CHECK(rig.house.whole_log().find("rcpt=2/3 data=1") != std::string::npos);
}

TEST_CASE("filter before the queue: the line of what it took names no login; that of a refusal does")
{
    FilterRig rig({{"smtpd_authorized_xclient_hosts", "192.0.2.1"},
                   {"smtpd_sasl_auth_enable", "yes"},
                   {"smtpd_sasl_path", "private/nobody"},
                   {"smtpd_sasl_exceptions_networks", "0.0.0.0/0"}});
    Talk talk(rig.house);
    rig.say(talk, "XCLIENT LOGIN=bob\r\n", 2);
    rig.say(talk, "EHLO client.test\r\n", 6);
    rig.say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nRCPT TO:<nobody@example.test>\r\nDATA\r\n", 4);
    CHECK(rig.say(talk, "Subject: s\r\n\r\nx\r\n.\r\n", 1) == Lines{"250 2.0.0 filtered"});
    CHECK(rig.house.whole_log().find(
              "proxy-accept: END-OF-MESSAGE: 250 2.0.0 filtered; from=<a@b.test> to=<user@example.test> proto=ESMTP helo=<client.test>\n") !=
          std::string::npos);
    CHECK(rig.house.whole_log().find("to=<nobody@example.test> proto=ESMTP helo=<client.test> sasl_method=XCLIENT sasl_username=bob\n") !=
          std::string::npos);
    CHECK(rig.house.queue.asked == 0);
}

TEST_CASE("filter before the queue: its refusals stand in the places of the commands, and a filter without PIPELINING hears one at a time")
{
    for (const bool pipelining : {true, false}) {
        CAPTURE(pipelining);
        FilterRig rig({{"smtpd_reject_footer", "call us"}});
        rig.filter.pipelining = pipelining;
        rig.filter.script = {{"RCPT TO:<other", "450 4.2.0 not him"}};
        Talk talk(rig.house);
        rig.say(talk, "EHLO client.test\r\n", 5);
        const Lines heard =
            rig.say(talk,
                    "MAIL FROM:<a@b.test>\r\nRCPT TO:<other@example.test>\r\nRCPT TO:<x@elsewhere.test>\r\nRCPT TO:<user@example.test>\r\n"
                    "HELP\r\nRCPT TO:<other@example.test>\r\nDATA\r\n",
                    10);
        INFO(fmt::format("{}", fmt::join(heard, "\n")));
        CHECK(heard == Lines{"250 2.1.0 Ok", "450-4.2.0 not him", "450 4.2.0 call us", "454-4.7.1 <x@elsewhere.test>: Relay access denied",
                             "454 4.7.1 call us", "250 2.1.5 Ok",
                             "214 2.0.0 Commands: BDAT DATA EHLO ETRN HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS VRFY", "450-4.2.0 not him",
                             "450 4.2.0 call us", "354 End data with <CR><LF>.<CR><LF>"});
        CHECK(rig.say(talk, "x\r\n.\r\n", 1) == Lines{"250 2.0.0 filtered"});
        CHECK(rig.filter.contents.size() == 1);
        CHECK(rig.filter.contents[0].find("for <user@example.test>; ") != std::string::npos);
        const auto together = std::ranges::count_if(rig.filter.segments, [](const std::string& one) { return std::ranges::count(one, '\n') > 1; });
        CHECK(together == (pipelining ? 3 : 1));                     // without: the content alone
    }
}

TEST_CASE("filter before the queue: a filter that refuses everyone gets no content, even where it would take one")
{
    FilterRig rig;
    rig.filter.script = {{"RCPT", "550 5.1.1 nobody"}};
    Talk talk(rig.house);
    rig.say(talk, "EHLO client.test\r\n", 5);
    CHECK(rig.say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n", 3) ==
          Lines{"250 2.1.0 Ok", "550 5.1.1 nobody", "554 5.5.1 Error: no valid recipients"});
    rig.filter.script.clear();
    CHECK(rig.say(talk, "RCPT TO:<user@example.test>\r\n", 1) == Lines{"250 2.1.5 Ok"});
    CHECK(rig.say(talk, "DATA\r\n", 1) == Lines{"354 End data with <CR><LF>.<CR><LF>"});
    CHECK(rig.say(talk, "x\r\n.\r\n", 1) == Lines{"250 2.0.0 filtered"});
    CHECK(rig.filter.contents.size() == 1);
    CHECK(rig.filter.connections == 2);
}

TEST_CASE("filter before the queue: what it says before it is asked counts only where it refuses")
{
    for (const std::string options : {"", "speed_adjust"})
        for (const bool pipelining : {true, false}) {
            CAPTURE(options);
            CAPTURE(pipelining);
            const auto heard = [&](const std::string& command, const std::string& reply, std::string_view logged) {
                CAPTURE(command);
                FilterRig rig({{"smtpd_proxy_options", options}});
                rig.filter.pipelining = pipelining;
                rig.filter.script = {{command, reply}};
                Talk talk(rig.house);
                rig.say(talk, "EHLO client.test\r\n", 5);
                std::string last = rig.say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n", 3).back();
                if (last.starts_with("354"))
                    last = rig.say(talk, "x\r\n.\r\n", 1).back();
                CHECK(rig.filter.contents.empty());
                CHECK((rig.house.whole_log().find("answered what it was not asked") != std::string::npos) == !logged.empty());
                CHECK(rig.house.whole_log().find(logged) != std::string::npos);
                return last;
            };
            const std::string trouble = "451 4.3.0 Error: queue file write error";
            const std::string ahead = R"(answered what it was not asked: "250 2.0.0 early")";
            CHECK(heard("DATA", "354 go on\r\n250 2.0.0 early", ahead) == trouble);
            CHECK(heard("DATA", "354 go on\r\n552 5.3.4 too large", "") == "552 5.3.4 too large");
            const std::string last = heard("CONNECT", "220 filter.test\r\n250 2.0.0 early", ahead);
            CHECK((last == trouble || last == "554 5.5.1 Error: no valid recipients"));
            if (!pipelining)
                CHECK(heard("RCPT", "250 ok\r\n250 2.0.0 early", ahead) == trouble);
        }
}

TEST_CASE("filter before the queue: with soft_bounce every line of its refusal is a temporary one, and the log has addresses as they are written")
{
    FilterRig rig({{"soft_bounce", "yes"}});
    rig.filter.script = {{"END", "550-5.7.1 one\r\n550 5.7.1 two"}};
    Talk talk(rig.house);
    rig.say(talk, "EHLO client.test\r\n", 5);
    rig.say(talk, "MAIL FROM:<\"a b\"@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n", 3);
    CHECK(rig.say(talk, "x\r\n.\r\n", 2) == Lines{"450-4.7.1 one", "450 4.7.1 two"});
    CHECK(rig.house.whole_log().find("; from=<\"a b\"@b.test> to=<user@example.test> proto=ESMTP helo=<client.test>") != std::string::npos);
}

TEST_CASE("filter before the queue: wherever it dies, each command has one answer and no message is said to be taken")
{
    for (const std::string options : {"", "speed_adjust"})
        for (const bool pipelining : {true, false})
            for (int lives = 0; lives < 7; ++lives) {
                CAPTURE(options);
                CAPTURE(pipelining);
                CAPTURE(lives);
                const int enough = pipelining ? 7 : 6;               // greeting, EHLO, XFORWARD, MAIL, RCPT, DATA, end
                FilterRig rig({{"smtpd_proxy_options", options}});
                rig.filter.pipelining = pipelining;
                rig.filter.lives = lives;
                const observe::AskedSince asked(observe::Helper::proxy_filter);
                Talk talk(rig.house);
                rig.say(talk, "EHLO client.test\r\n", 5);
                const Lines heard = rig.say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n", 3);
                REQUIRE(heard.size() == 3);
                std::string last = heard[2];
                if (last.starts_with("354"))
                    last = rig.say(talk, "x\r\n.\r\n", 1).at(0);
                CHECK((last.starts_with("250 2.0.0 filtered") == (lives >= enough)));
                if (lives < enough)
                    CHECK((last == "451 4.3.0 Error: queue file write error" || heard[1] == "451 4.3.0 Error: queue file write error"));
                CHECK(rig.say(talk, "NOOP\r\n", 1) == Lines{"250 2.0.0 Ok"});
                CHECK(rig.filter.contents.size() <= 1);
                CHECK(rig.house.queue.asked == 0);
                CHECK((asked.count().failed > 0) == (lives < enough));
                CHECK(asked.count().open == 0);
            }
}

TEST_CASE("filter before the queue: a large message goes through as it is, from memory or from a file that does not stay")
{
    std::string body;
    for (int line = 0; line < 20000; ++line)
        body += fmt::format("{}line {} of many\r\n", line % 3 == 0 ? "." : "", line);
    std::string stuffed;
    for (std::size_t at = 0; at < body.size();) {
        const std::size_t end = body.find('\n', at) + 1;
        stuffed += (body[at] == '.' ? "." : "") + body.substr(at, end - at);
        at = end;
    }
    for (const std::string options : {"", "speed_adjust"}) {
        CAPTURE(options);
        FilterRig rig({{"smtpd_proxy_options", options}});
        Talk talk(rig.house);
        rig.say(talk, "EHLO client.test\r\n", 5);
        rig.say(talk, "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nDATA\r\n", 3);
        CHECK((rig.filter.connections == (options.empty() ? 1 : 0)));
        CHECK(rig.say(talk, "Subject: s\r\n\r\n" + stuffed + ".\r\n", 1) == Lines{"250 2.0.0 filtered"});
        REQUIRE(rig.filter.contents.size() == 1);
        CHECK(rig.filter.contents[0].ends_with("Subject: s\r\n\r\n" + stuffed));
        CHECK(rig.house.folder.files.empty());
        CHECK((rig.house.folder.largest_piece > 0) == !options.empty());
        CHECK(rig.house.queue.asked == 0);
        CHECK(rig.house.smtpd().counters().memory < 64 * 1024);
    }
}

namespace {

struct FilterTls final : TlsAcceptor {
    awaitable<Result<Secured>> accept(std::unique_ptr<net::Stream> stream, std::string) override { co_return Secured(std::move(stream), "", {}); }
};

}  // namespace

TEST_CASE(
    "filter before the queue: that a message requires TLS is told one that offers REQUIRETLS, and stands in the header; without either it is refused")
{
    for (const std::string options : {"", "speed_adjust"})
        for (const bool offers : {true, false})
            for (const bool header : {true, false}) {
                CAPTURE(options);
                CAPTURE(offers);
                CAPTURE(header);
                FilterTls tls;
                FilterRig rig(
                    {{"smtpd_proxy_options", options}, {"smtpd_tls_security_level", "may"}, {"requiretls_esmtp_header", header ? "yes" : "no"}});
                rig.house.tls = &tls;
                rig.filter.pipelining = false;
                if (offers)
                    rig.filter.script.emplace_back("EHLO", "250-filter.test\r\n250 REQUIRETLS");
                Talk talk(rig.house);
                rig.say(talk, "EHLO client.test\r\n", 5);
                rig.say(talk, "STARTTLS\r\n", 1);
                rig.say(talk, "EHLO client.test\r\n", 5);
                CHECK(rig.say(talk, "MAIL FROM:<a@b.test> REQUIRETLS BODY=8BITMIME RET=HDRS\r\n", 1) == Lines{"250 2.1.0 Ok"});
                std::string last = rig.say(talk, "RCPT TO:<user@example.test>\r\n", 1).at(0);
                const bool passes = offers || header;
                const std::string refusal = "550 5.7.30 REQUIRETLS support required";
                if (options.empty() && !passes) {
                    CHECK(last == refusal);
                    continue;
                }
                CHECK(rig.say(talk, "DATA\r\n", 1) == Lines{"354 End data with <CR><LF>.<CR><LF>"});
                last = rig.say(talk, "Subject: s\r\n\r\nx\r\n.\r\n", 1).at(0);
                CHECK(last == (passes ? "250 2.0.0 filtered" : refusal));
                if (!passes) {
                    CHECK(rig.filter.contents.empty());
                    CHECK(rig.house.whole_log().find("does not offer REQUIRETLS, and requiretls_esmtp_header = no") != std::string::npos);
                    continue;
                }
                const std::string mail = "MAIL FROM:<a@b.test> BODY=8BITMIME RET=HDRS";
                CHECK(std::ranges::find(rig.filter.heard, offers ? mail + " REQUIRETLS" : mail) != rig.filter.heard.end());
                REQUIRE(rig.filter.contents.size() == 1);
                CHECK((rig.filter.contents[0].find("Require-TLS-ESMTP: yes\r\nSubject: s\r\n") != std::string::npos) == header);
            }
}

TEST_CASE("filter before the queue: what smtpd_proxy_filter may say")
{
    CHECK_FALSE(options_of().filter.has_value());
    CHECK(options_of({{"smtpd_proxy_filter", "10025"}}).filter->server.port == 10025);
    CHECK(options_of({{"smtpd_proxy_filter", "unix:private/filter"}}).filter->server.path == "private/filter");
    CHECK(options_of({{"smtpd_proxy_filter", "inet:[::1]:10025"}}).filter->server.host == "::1");
    CHECK_THROWS_WITH_AS(options_of({{"smtpd_proxy_filter", "filter.test"}}),
                         "bad configuration: smtpd_proxy_filter = filter.test: expected host:port, inet:host:port or unix:path", config::BadValue);
    CHECK_THROWS_WITH_AS(options_of({{"smtpd_proxy_options", "speed_adjust, fast"}}),
                         "bad configuration: smtpd_proxy_options = fast: expected speed_adjust", config::BadValue);
}
