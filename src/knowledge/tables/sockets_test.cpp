#include "tables/sockets.hpp"

#include "async/run.hpp"
#include "observe/testing.hpp"
#include "tables/testing.hpp"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>
#include <doctest/doctest.h>

#include <deque>

using namespace posthorn;
using namespace posthorn::tables;
using asio::ip::tcp;

namespace {

/// A server on a port of its own that says the next of `replies` to whatever comes, and "close" ends the connection.
struct Talker : Loop, TestSite {
    tcp::acceptor acceptor{loop, tcp::endpoint(asio::ip::make_address("127.0.0.1"), 0)};
    std::deque<std::string> replies;
    std::vector<std::string> heard;
    int connections = 0, open = 0, most = 0;

    Talker()
    {
        asio::co_spawn(loop, accept(), [](std::exception_ptr) {});
    }
    awaitable<void> accept()
    {
        while (true) {
            auto [wrong, socket] = co_await acceptor.async_accept(asio::as_tuple(use_awaitable));
            if (wrong)
                co_return;
            ++connections;
            most = std::max(most, ++open);
            asio::co_spawn(loop, serve(std::move(socket)), [](std::exception_ptr) {});
        }
    }
    awaitable<void> serve(tcp::socket socket)
    {
        co_await talk(std::move(socket));
        --open;
    }
    awaitable<void> talk(tcp::socket socket)
    {
        for (char room[4096];;) {
            auto [wrong, size] = co_await socket.async_read_some(asio::buffer(room), asio::as_tuple(use_awaitable));
            if (wrong)
                co_return;
            heard.emplace_back(room, size);
            if (replies.empty())
                co_return;
            const std::string reply = std::move(replies.front());
            replies.pop_front();
            if (reply == "close")
                co_return;
            co_await asio::async_write(socket, asio::buffer(reply.substr(0, reply.size() / 2)), asio::as_tuple(use_awaitable));
            co_await sleep_for(std::chrono::milliseconds(2));
            co_await asio::async_write(socket, asio::buffer(reply.substr(reply.size() / 2)), asio::as_tuple(use_awaitable));
            if (reply.ends_with("bye\n"))
                co_return;
        }
    }
    std::string at() const { return "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()); }
    std::string ask(const std::string& spec, const std::string& key) { return text(run(loop, tables.open(spec)->lookup(key))); }
};

}  // namespace

TEST_CASE("tcp: one line there, one line back, in %XX form; a connection serves many questions, and one that was lost is made anew")
{
    Talker server;
    const std::string spec = "tcp:" + server.at();
    CHECK(server.tables.open(spec)->pattern());
    server.replies = {"200 a%20value\n", "500 no such key\n", "400 the%20database%20is%20away\n", "200 x bye\n", "200 again\n",
                      "close",           "200 late\n"};
    CHECK(server.ask(spec, "Key with %") == "a value");
    CHECK(server.heard.back() == "get Key%20with%20%25\n");
    CHECK(server.ask(spec, "k") == "none");
    CHECK(server.ask(spec, "k") == "error: the database is away");
    CHECK(server.connections == 1);
    CHECK(server.ask(spec, "k") == "x bye");
    CHECK(server.ask(spec, "k") == "again");
    CHECK(server.connections == 2);
    CHECK(server.ask(spec, "k") == "late");
    CHECK(server.connections == 3);
}

TEST_CASE("tcp: a server that is away, closes always, or says what is no answer is an error, never \"not there\"")
{
    Talker server;
    const std::string spec = "tcp:" + server.at();
    server.replies = {"close", "close"};
    CHECK(server.ask(spec, "k") == "error: read from " + server.at() + ": connection closed by the server");
    server.replies = {"hello\n", "200 %zz\n", "200 a\n200 b and more\n", std::string(5000, 'x')};
    CHECK(server.ask(spec, "k") == "error: unusable answer \"hello\"");
    CHECK(server.ask(spec, "k") == "error: unusable answer \"200 %zz\"");
    CHECK(server.ask(spec, "k") == "error: read from " + server.at() + ": more than one answer to a question");
    CHECK(server.ask(spec, "k") == "error: read from " + server.at() + ": an answer of more than 4096 octets");
    const std::string at = server.at();
    server.acceptor.close();
    CHECK(server.ask(spec, "k") == "error: connect to " + at + ": Connection refused");
    CHECK(server.get("tcp:nowhere", "k") == "error: bad server \"nowhere\"; need \"inet:host:port\" or \"unix:/path\"");
    CHECK(text(tcp_answer("500 \n")) == "none");
    CHECK(text(tcp_answer("500\n")) == "error: unusable answer \"500\"");
    CHECK(text(tcp_answer("200  two\n")) == " two");          // one blank ends the code
    CHECK(text(tcp_answer("2000 x\n")) == "error: unusable answer \"2000 x\"");
    CHECK(text(tcp_answer("\n")) == "error: unusable answer \"\"");
}

TEST_CASE("socketmap: no longer question is asked, and no longer answer read, than the configuration says")
{
    Talker server;
    server.tables.set_parameters([](const std::string& name) -> std::optional<std::string> {
        return name == "socketmap_max_query_size"   ? std::optional<std::string>("8")
               : name == "socketmap_max_reply_size" ? std::optional<std::string>("12")
                                                    : std::nullopt;
    });
    const std::string spec = "socketmap:inet:" + server.at() + ":map";
    server.replies = {"12:OK 123456789,", "13:OK 1234567890,"};
    CHECK(server.ask(spec, "1234") == "123456789");
    CHECK(server.ask(spec, "12345") == "error: a question of 9 octets, more than 8 (socketmap_max_query_size)");
    CHECK(server.heard.size() == 1);
    CHECK(server.ask(spec, "1234") == "error: read from inet:" + server.at() + ": an answer of 13 octets, more than 12");
}

TEST_CASE("socketmap: netstrings; the words of the protocol, and what is none of them")
{
    Talker server;
    const std::string spec = "socketmap:inet:" + server.at() + ":virtual";
    const auto netstring = [](std::string_view inside) { return fmt::format("{}:{},", inside.size(), inside); };
    server.replies = {netstring("OK a value"),
                      netstring("NOTFOUND "),
                      netstring("TEMP out of order"),
                      netstring("TIMEOUT "),
                      netstring("PERM bad map"),
                      netstring("MAYBE "),
                      "12;x,",
                      netstring("OK "),
                      "999999:"};
    const observe::AskedSince asked(observe::Helper::table);
    CHECK(server.ask(spec, "User@Example.com") == "a value");
    CHECK(server.heard.back() == "24:virtual User@Example.com,");
    CHECK(server.ask(spec, "k") == "none");
    CHECK(server.ask(spec, "k") == "error: out of order");
    CHECK(server.ask(spec, "k") == "error: TIMEOUT");
    CHECK(server.ask(spec, "k") == "error: bad map");
    CHECK(server.ask(spec, "k") == "error: unusable answer \"MAYBE \"");
    CHECK(server.ask(spec, "k") == "error: read from inet:" + server.at() + ": unusable answer \"12;x,\"");
    CHECK(server.ask(spec, "k") == "");
    CHECK(server.ask(spec, "k") == "error: read from inet:" + server.at() + ": an answer of 999999 octets, more than 100000");
    CHECK(asked.count() == observe::AskedCount{9, 6, 0});
    CHECK(server.get("socketmap:x", "k") == "error: socketmap requires server:socketmap argument");
    // As it comes in pieces.
    const std::string whole = netstring("OK abc");
    for (std::size_t size = 0; size < whole.size(); ++size)
        CHECK(measure_netstring(whole.substr(0, size), 100).value() == 0);
    CHECK(measure_netstring(whole, 100).value() == whole.size());
    CHECK_FALSE(measure_netstring("3:abcd", 100).has_value());
    CHECK_FALSE(measure_netstring("99999999999999999999999:", 100).has_value());
    CHECK_FALSE(measure_netstring(":", 100).has_value());
}

TEST_CASE("server: what comes unasked on a kept connection answers no later question")
{
    Talker server;
    const std::string spec = "tcp:" + server.at();
    server.replies = {"200 a\n200 b\n", "200 c\n"};            // the second line comes after the answer was taken
    CHECK(server.ask(spec, "k") == "a");
    run(server.loop, sleep_for(std::chrono::milliseconds(20)));
    CHECK(server.ask(spec, "k") == "c");
    CHECK(server.connections == 2);
}

TEST_CASE("server: questions at once have connections of their own, at most twenty; the others wait for their turn")
{
    Talker server;
    const std::string spec = "tcp:" + server.at();
    const auto table = server.tables.open(spec);
    std::vector<std::string> answers;
    for (int i = 0; i < 50; ++i)
        server.replies.push_back("200 v\n");
    run(server.loop, [](Talker& talker, std::shared_ptr<Table> asked, std::vector<std::string>& got) -> awaitable<void> {
        TaskGroup group(talker.loop.get_executor());
        for (int i = 0; i < 50; ++i)
            group.spawn([](std::shared_ptr<Table> which, std::vector<std::string>& into) -> awaitable<void> {
                into.push_back(text(co_await which->lookup("k")));
            }(asked, got));
        co_await group.drained();
    }(server, table, answers));
    CHECK(answers == std::vector<std::string>(50, "v"));
    CHECK(server.most <= 20);
    CHECK(server.most > 1);
    CHECK(server.connections == server.most);
}
