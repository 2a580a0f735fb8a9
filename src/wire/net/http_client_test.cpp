#include "net/http_client.hpp"

#include "async/run.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::net;

namespace {

/// What a server that says this is understood to have answered; `cut`: it closes the connection then.
Result<HttpAnswer> answer_to(std::vector<std::string> said, HttpBody what = HttpBody::wanted, bool cut = true)
{
    asio::io_context loop;
    auto [ours, theirs] = memory_pair(loop.get_executor());
    asio::co_spawn(
        loop,
        [](MemoryStream* server, std::vector<std::string> pieces, bool closes) -> awaitable<void> {
            for (const std::string& piece : pieces)
                (void)co_await server->write(piece);
            if (closes)
                (void)co_await server->shutdown();
        }(theirs.get(), std::move(said), cut),
        asio::detached);
    return run(loop, http_ask(ours.get(), "GET / HTTP/1.1\r\n\r\n", 100, what));
}

std::string why(const Result<HttpAnswer>& answer)
{
    REQUIRE_FALSE(answer);
    return answer.error().text();
}

}  // namespace

TEST_CASE("http client: an answer in whatever pieces it comes, and whether the connection is good for another request")
{
    auto answer =
        answer_to({"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=x\r\nContent-Le", "ngth: 5\r\n\r\nhel", "lo"}, HttpBody::wanted, false);
    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK(answer->type == "text/plain; charset=x");
    CHECK(answer->body == "hello");
    CHECK(answer->keeps);
    answer = answer_to({"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"});
    REQUIRE(answer);
    CHECK(answer->body == "abc");
    CHECK_FALSE(answer->keeps);
    answer = answer_to({"HTTP/1.1 200 OK\r\n\r\nto the end"});
    REQUIRE(answer);
    CHECK(answer->body == "to the end");
    CHECK_FALSE(answer->keeps);
    for (const std::string& chunks : {std::string("0\r\n\r\n"), std::string("3\r\nabc\r\n0\r\n\r\n")}) {
        std::vector<std::string> pieces{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"};
        for (const char octet : chunks)
            pieces.emplace_back(1, octet);
        answer = answer_to(pieces, HttpBody::wanted, false);
        REQUIRE(answer);
        CHECK(answer->body == (chunks.size() == 5 ? "" : "abc"));
        CHECK(answer->keeps);
    }
    CHECK_FALSE(answer_to({"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 more than was asked for"})->keeps);
}

TEST_CASE("http client: of an answer other than 2xx nothing is read; one whose body is of no interest counts whatever becomes of it")
{
    const auto refused = answer_to({"HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\nno"}, HttpBody::wanted, false);
    REQUIRE(refused);
    CHECK(refused->status == 404);
    CHECK_FALSE(refused->keeps);
    for (const char* body : {"Content-Length: 1000000\r\n\r\nbegun", "Content-Length: 10\r\n\r\ncut", "Transfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
        const auto taken = answer_to({std::string("HTTP/1.1 200 OK\r\n") + body}, HttpBody::dropped);
        REQUIRE(taken);
        CHECK(taken->status == 200);
        CHECK_FALSE(taken->keeps);
    }
    const auto kept = answer_to({"HTTP/1.1 503 Later\r\nContent-Length: 2\r\n\r\nno"}, HttpBody::dropped, false);
    REQUIRE(kept);
    CHECK(kept->status == 503);
    CHECK(kept->keeps);
}

TEST_CASE("http client: what is no answer is an error that says why")
{
    CHECK(why(answer_to({})) == "lost connection");
    CHECK(why(answer_to({"SSH-2.0-x\r\n\r\n"})).starts_with("the answer is none of HTTP: "));
    CHECK(why(answer_to({"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut"})).starts_with("the answer is none of HTTP: "));
    CHECK(why(answer_to({"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n" + std::string(101, 'x')})) == "the answer has more than 100 octets");
    CHECK(why(answer_to({"HTTP/1.1 200 OK\r\nX: " + std::string(20'000, 'x')})).starts_with("the answer is none of HTTP: "));
}

TEST_CASE("http client: where an URL leads, and what is none")
{
    const auto url = [](std::string_view text) { return parse_http_url(text).value(); };
    CHECK(url("http://Hook.test") == HttpUrl{false, "hook.test", 80, "/"});
    CHECK(url("HTTPS://hook.test:8443/a/b?c=d") == HttpUrl{true, "hook.test", 8443, "/a/b?c=d"});
    CHECK(url("https://[2001:db8::1]?q") == HttpUrl{true, "2001:db8::1", 443, "/?q"});
    CHECK(url("https://[2001:db8::1]:44/").authority() == "[2001:db8::1]:44");
    CHECK(url("https://hook.test/").authority() == "hook.test");
    for (const char* bad :
         {"", "ftp://x/", "hook.test/", "http://", "http:///x", "http://user@x/", "http://user:word@x/", "http://x/#f", "http://x:0/",
          "http://x:99999/", "http://x:/", "http://x: 1/", "http://[::1/", "http://[x]/", "http://x/a b", "http://x/\r\nHost: y"})
        CHECK_FALSE(parse_http_url(bad));
}
