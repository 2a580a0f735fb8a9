#include "async/run.hpp"
#include "sts/fetch.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::sts;

namespace {

awaitable<void> answer_with(std::unique_ptr<net::Stream> stream, std::string text, std::string* heard, std::size_t piece)
{
    stream->expires_after(std::chrono::seconds(10));
    char room[4096];
    while (heard->find("\r\n\r\n") == std::string::npos) {
        const auto got = co_await stream->read_some(room);
        if (!got || *got == 0)
            co_return;
        heard->append(room, *got);
    }
    for (std::size_t at = 0; at < text.size(); at += piece)
        if (!co_await stream->write(std::string_view(text).substr(at, piece)))
            co_return;
    (void)co_await stream->shutdown();
}

std::string asked_for_policy(const std::string& answer, std::size_t piece = 1 << 20, std::string* heard = nullptr)
{
    asio::io_context loop{1};
    auto [ours, theirs] = net::memory_pair(loop.get_executor());
    ours->expires_after(std::chrono::seconds(10));
    std::string request;
    TaskGroup tasks(loop.get_executor());
    tasks.spawn(answer_with(std::move(theirs), answer, &request, piece));
    const auto text = run(loop, ask_for_policy(ours.get(), "mta-sts.a.test"));
    ours->close();
    run(loop, tasks.drained());
    if (heard)
        *heard = request;
    return text ? "[" + *text + "]" : text.error().what();
}

std::string page(std::string_view head, std::string_view body) { return fmt::format("HTTP/1.1 {}\r\n\r\n{}", head, body); }

}  // namespace

TEST_CASE("fetch: one question, and the body of an answer of 200 as it came, in whatever pieces")
{
    std::string heard;
    const std::string good = page("200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5", "a: b\n");
    for (const std::size_t piece : {1U, 7U, 1U << 20U}) {
        CHECK(asked_for_policy(good, piece, &heard) == "[a: b\n]");
        CHECK(
            heard ==
            "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.a.test\r\nUser-Agent: Posthorn\r\nAccept: text/plain\r\nConnection: close\r\n\r\n");
        CHECK(asked_for_policy(page("200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked", "2\r\na:\r\n3\r\n b\n\r\n0\r\n\r\n"),
                               piece) == "[a: b\n]");
        CHECK(asked_for_policy(page("200 OK\r\nContent-Type: TEXT/plain", "a: b\n"), piece) == "[a: b\n]");   // to the end of the stream
    }
}

TEST_CASE("fetch: nothing is followed, and nothing but whole plain text is taken")
{
    CHECK(asked_for_policy(page("301 Moved\r\nLocation: https://b.test/\r\nContent-Type: text/plain\r\nContent-Length: 5", "a: b\n")) ==
          "the answer is 301");
    CHECK(asked_for_policy(page("404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0", "")) == "the answer is 404");
    CHECK(asked_for_policy(page("203 OK\r\nContent-Type: text/plain\r\nContent-Length: 5", "a: b\n")) == "the answer is 203");
    CHECK(asked_for_policy(page("200 OK\r\nContent-Type: text/html\r\nContent-Length: 5", "a: b\n")) ==
          "the answer is no text/plain but \"text/html\"");
    CHECK(asked_for_policy(page("200 OK\r\nContent-Length: 5", "a: b\n")) == "the answer is no text/plain but \"\"");
    CHECK(asked_for_policy(page("200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6", "a: b\n")).starts_with("the answer is none of HTTP"));
    CHECK(asked_for_policy("") == "lost connection");
    CHECK(asked_for_policy("220 mx.a.test ESMTP\r\n").starts_with("the answer is none of HTTP"));
}

TEST_CASE("fetch: no more than the limit is read, whatever is announced")
{
    const std::string much(policy_octets + 1, 'x');
    const std::string_view refused = "the answer has more than 65536 octets";
    CHECK(asked_for_policy(page("200 OK\r\nContent-Type: text/plain\r\nContent-Length: 65537", much)) == refused);
    CHECK(asked_for_policy(page("200 OK\r\nContent-Type: text/plain", much), 4096) == refused);
    CHECK(asked_for_policy(page("200 OK\r\nContent-Type: text/plain\r\nContent-Length: 65536", much.substr(1))) == "[" + much.substr(1) + "]");
    CHECK(asked_for_policy("HTTP/1.1 200 OK\r\nX: " + much).starts_with("the answer is none of HTTP"));
}
