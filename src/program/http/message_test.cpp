#include "http/access.hpp"
#include "http/message.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::http;

namespace {

constexpr AccessWords words{"admin_clients", "admin_hosts", "admin_token_file", "nothing can be changed"};

net::Endpoint at(const char* address) { return {net::IpAddress::parse(address).value_or(net::IpAddress()), 8025}; }

Access access_for(std::string_view clients, std::string_view hosts)
{
    return *Access::make(words, config::parse_list(clients), config::parse_list(hosts));
}

/// 0: not refused.
unsigned status_of(const std::optional<Answer>& refusal) { return refusal ? refusal->status : 0; }

Request to_host(std::string host)
{
    Request request;
    request.host = {std::move(host)};
    return request;
}

}  // namespace

TEST_CASE("http: a body in chunks is the same in whatever pieces it comes, one without any too (RFC 9112 7.1)")
{
    const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (const auto& [chunks, body] : {std::pair<std::string, std::string>{"0\r\n\r\n", ""}, {"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "hello!"}})
        for (std::size_t piece = 1; piece < head.size() + chunks.size() + 3; ++piece) {
            CAPTURE(piece);
            const std::string all = head + chunks + "GET";         // and the next one begins
            Reader reader({});
            std::string pending;
            for (std::size_t at = 0; at < all.size() && !reader.whole(); at += piece) {
                pending += all.substr(at, piece);
                for (std::size_t taken = 1; taken > 0 && !reader.whole();)
                    pending.erase(0, taken = reader.feed(pending));
            }
            REQUIRE(reader.whole());
            CHECK(reader.take().body == body);
            CHECK(std::string("GET").starts_with(pending));
        }
    Reader reader({});
    std::string pending = head + "0&\r\n";
    for (int times = 0; times < 3; ++times)
        pending.erase(0, reader.feed(pending));
    CHECK_FALSE(reader.whole());
    CHECK_FALSE(reader.refused());                                     // it may not be known before the next octet
    pending += "\r\n";
    for (int times = 0; times < 3 && !reader.refused(); ++times)
        pending.erase(0, reader.feed(pending));
    CHECK(reader.refused() == 400U);
}

TEST_CASE("http: a request in whatever pieces it comes, and the next one behind it")
{
    const std::string first = "POST /api/flush HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer x\r\nContent-Length: 5\r\n\r\nhello";
    const std::string both = first + "GET / HTTP/1.0\r\n\r\n";
    for (std::size_t piece = 1; piece <= both.size(); piece += 7) {
        Reader reader({});
        std::string pending;
        for (std::size_t at = 0; at < both.size() && !reader.whole(); at += piece) {
            pending += both.substr(at, piece);
            pending.erase(0, reader.feed(pending));
            REQUIRE_FALSE(reader.refused());
        }
        REQUIRE(reader.whole());
        const Request request = reader.take();
        CHECK(request.method == "POST");
        CHECK(request.target == "/api/flush");
        CHECK(request.host == std::vector<std::string>{"a.test"});
        CHECK(request.authorization == "Bearer x");
        CHECK(request.keep_alive);
        CHECK(both.substr(first.size()).starts_with(pending));
    }
    Reader old({});
    CHECK(old.feed("GET / HTTP/1.0\r\n\r\n") == 18);
    REQUIRE(old.whole());
    const Request request = old.take();
    CHECK(request.old);
    CHECK_FALSE(request.keep_alive);
}

TEST_CASE("http: what is there of a body is taken at once, also where the header came by itself before it")
{
    for (const std::string_view body : {"Transfer-Encoding: chunked\r\n\r\n|5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", "Content-Length: 6\r\n\r\n|hello!"}) {
        const std::size_t bar = body.find('|');
        Reader reader({});
        const std::string head = "POST / HTTP/1.1\r\nHost: a\r\n" + std::string(body.substr(0, bar));
        CHECK(reader.feed(head) == head.size());
        CHECK(reader.head_done());
        const std::string_view rest = body.substr(bar + 1);
        CHECK(reader.feed(rest) == rest.size());                       // who reads feeds once for what has come, and waits for more
        REQUIRE(reader.whole());
        CHECK(reader.take().body == "hello!");
    }
}

TEST_CASE("http: a header is as large as it is, in whatever pieces it comes")
{
    for (const std::size_t size : {511UL, 512UL, 513UL, 520UL, 2000UL}) {
        std::string all = "GET / HTTP/1.0\r\nHost: a\r\nX: ";
        all += std::string(size - all.size() - 4, 'x') + "\r\n\r\n";
        for (const std::size_t piece : {1UL, 3UL, 100UL, 511UL, 5000UL}) {
            CAPTURE(size);
            CAPTURE(piece);
            Reader reader({.header = 512});
            std::string pending;
            for (std::size_t at = 0; at < all.size() && !reader.whole() && !reader.refused(); at += piece) {
                pending += all.substr(at, piece);
                pending.erase(0, reader.feed(pending));
            }
            CHECK(reader.whole() == (size <= 512));
            CHECK(reader.refused() == (size <= 512 ? std::nullopt : std::optional(431U)));
        }
    }
}

TEST_CASE("http: what is too large or no request has its status, and takes nothing more")
{
    const auto refused = [](const std::string& text, Limits limits = {.header = 1024, .body = 100}) {
        Reader reader(limits);
        std::string pending = text;
        for (std::size_t taken = 1; taken > 0 && !reader.refused();) {
            taken = reader.feed(pending);
            pending.erase(0, taken);
        }
        CHECK_FALSE(reader.whole());
        return reader.refused().value_or(0);
    };
    CHECK(refused("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x')) == 431);
    std::string lines = "GET / HTTP/1.1\r\n";
    for (int i = 0; i < 10'000; ++i)
        lines += "A: b\r\n";
    CHECK(refused(lines) == 431);
    CHECK(refused("POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n") == 413);
    CHECK(refused("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(101, 'x') + "\r\n") == 413);
    for (const char* none : {"EHLO a\r\n\r\n", "\x16\x03\x01", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
                             "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nno field\r\n\r\n"}) {
        CAPTURE(none);
        CHECK(refused(none) == 400);
    }
}

TEST_CASE("http: an answer says what it is, and HEAD leaves the body out")
{
    Answer answer(200, "application/json", "{}\n");
    answer.fields.emplace_back("Allow", "GET");
    const std::string text = on_the_wire(answer, true, false);
    CHECK(text.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\nConnection: keep-alive\r\n"));
    CHECK(text.find("X-Content-Type-Options: nosniff\r\n") != text.npos);
    CHECK(text.find("Access-Control") == text.npos);
    CHECK(text.ends_with("Allow: GET\r\n\r\n{}\n"));
    CHECK(on_the_wire(answer, false, true)
              .ends_with("Connection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                         "X-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\nAllow: GET\r\n\r\n"));
    CHECK(error_answer(404, "no \"such\"").body == "{\"error\": \"no \\\"such\\\"\"}\n");
}

TEST_CASE("access: clients by network, the first that matches; of a Unix socket all")
{
    const Access access = access_for("!192.0.2.7, 192.0.2.0/24 [::1]/128", "");
    CHECK(access.admits(at("192.0.2.1")));
    CHECK(access.admits(at("::1")));
    CHECK_FALSE(access.admits(at("192.0.2.7")));
    CHECK_FALSE(access.admits(at("127.0.0.1")));
    CHECK(access.admits(net::Endpoint::unix("")));
    CHECK_FALSE(access_for("", "").admits(at("127.0.0.1")));
    for (const char* wrong : {"a.test", "192.0.2.1/24", "/etc/clients", "hash:/etc/clients"}) {
        CAPTURE(wrong);
        const auto made = Access::make(words, config::parse_list(wrong), {});
        REQUIRE_FALSE(made);
        CHECK(made.error().text().starts_with("admin_clients: "));
    }
    CHECK_FALSE(Access::make(words, {}, config::parse_list("hash:/x")));
}

TEST_CASE("access: a name that was made to lead here is not ours")
{
    const Access access = access_for("127.0.0.0/8", "localhost, Mail.Example.com 192.0.2.1");
    const net::Endpoint local = at("127.0.0.1");
    for (const char* good : {"localhost", "localhost:8025", "LOCALHOST.", "mail.example.com:80", "127.0.0.1", "127.0.0.1:8025", "192.0.2.1"}) {
        CAPTURE(good);
        CHECK_FALSE(access.refuses_host(to_host(good), local));
    }
    for (const char* other : {"evil.test", "evil.test:8025", "127.0.0.1.evil.test", "localhost.evil.test", "192.0.2.2", "127.0.0.2"}) {
        CAPTURE(other);
        const auto refusal = access.refuses_host(to_host(other), local);
        CHECK(status_of(refusal) == 421);
    }
    for (const char* none : {"", ":8025", "[::1", "localhost:x", "localhost:80:80"}) {
        CAPTURE(none);
        CHECK(status_of(access.refuses_host(to_host(none), local)) == 400);
    }
    CHECK_FALSE(access.refuses_host(to_host("[::1]:8025"), at("::1")));
    Request several, nobody, old;
    several.host = {"localhost", "localhost"};
    old.old = true;
    CHECK(status_of(access.refuses_host(several, local)) == 400);
    CHECK(status_of(access.refuses_host(nobody, local)) == 400);
    CHECK_FALSE(access.refuses_host(old, local));
    CHECK_FALSE(access.refuses_host(to_host("anything"), net::Endpoint::unix("/x")));
}

TEST_CASE("access: what needs the token needs, all of it, and a good one")
{
    Access access = access_for("", "");
    Request request;
    request.authorization = "Bearer 0123456789abcdef";
    CHECK(status_of(access.refuses_token(request)) == 403);
    CHECK(access.set_token("0123456789abcdef\n"));
    CHECK_FALSE(access.refuses_token(request));
    request.authorization = "bearer  0123456789abcdef ";
    CHECK_FALSE(access.refuses_token(request));
    for (const char* wrong :
         {"", "0123456789abcdef", "Bearer", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdef0", "Basic 0123456789abcdef"}) {
        CAPTURE(wrong);
        request.authorization = wrong;
        const auto refusal = access.refuses_token(request);
        CHECK(status_of(refusal) == 401);
        CHECK(refusal.value_or(Answer()).fields == std::vector<std::pair<std::string_view, std::string>>{{"WWW-Authenticate", "Bearer"}});
    }
    for (const char* bad : {"short", "0123456789 abcdef", "0123456789abcdef\nsecond"}) {
        CAPTURE(bad);
        CHECK_FALSE(access.set_token(bad));
        CHECK_FALSE(access.has_token());
    }
    // A file of any length whose beginning is a token: that is not what its administrator wrote.
    const std::string longest(Access::longest_token_file, 'x');
    CHECK(access.set_token(longest));
    const auto too_long = access.set_token(longest + "x");
    CHECK_FALSE(too_long);
    CHECK((too_long ? "" : too_long.error().text()) == std::string("the file is longer than 4096 octets: nothing can be changed"));
    CHECK_FALSE(access.has_token());
    CHECK_FALSE(access.set_token("0123456789abcdef" + std::string(Access::longest_token_file, '\n')));
    CHECK(access.set_token(""));
    CHECK_FALSE(access.has_token());
}
