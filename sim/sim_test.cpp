#include "sim/engine.hpp"
#include "sim/peers.hpp"

#include <doctest/doctest.h>

using namespace posthorn;

namespace {

/// Writes each segment, waits for `lines` answers to it, and returns everything the peer said.
std::string converse(sim::Peer& peer, std::vector<std::pair<std::string, int>> segments)
{
    asio::io_context loop(1);
    auto [client, server] = net::memory_pair(loop.get_executor());
    std::string heard;
    asio::co_spawn(loop, peer.play(std::move(server)), asio::detached);
    asio::co_spawn(
        loop,
        [](std::unique_ptr<net::MemoryStream> stream, std::vector<std::pair<std::string, int>> script, std::string& all) -> awaitable<void> {
            stream->expires_after(std::chrono::seconds(5));
            for (const auto& [segment, answers] : script) {
                if (!segment.empty())
                    (void)co_await stream->write(std::string_view(segment));
                for (int lines = 0; lines < answers;) {
                    char room[4096];
                    auto got = co_await stream->read_some(room);
                    if (!got || *got == 0)
                        co_return;
                    lines += static_cast<int>(std::count(room, room + *got, '\n'));
                    all.append(room, *got);
                }
            }
            stream->close();
        }(std::move(client), std::move(segments), heard),
        asio::detached);
    loop.run();
    return heard;
}

}  // namespace

TEST_CASE("script: errors name the script and the line")
{
    CHECK(sim::Script::parse("S 220 hi\nfoo", "x").error().text() == "x, line 2: unknown word 'foo'");
    CHECK(sim::Script::parse("repeat 3\nS a", "x").error().text() == "x, line 2: repeat without end");
    CHECK(sim::Script::parse("wait soon", "x").error().text() == "x, line 1: wait takes a time: 250ms, 2s");
    CHECK(sim::Script::parse("on MAIL [nth x]", "x").error().text() == "x, line 1: [in STATE], [nth N], [from N] or [grouped]");
    CHECK(sim::Script::parse("like nobody", "x").error().text() == "x, line 1: like: there is no peer 'nobody'");
    CHECK(sim::Script::parse("tls later", "x").error().text() == "x, line 1: tls on connect, or tls with greeting");
    CHECK(sim::Script::parse("C", "x").error().text() == "x, line 1: C needs an argument");
}

TEST_CASE("script: patterns match without case, take what * stands for, and end where the line ends")
{
    std::vector<std::string_view> taken;
    CHECK(sim::matches("RCPT TO:<*@*>*", "rcpt to:<a@b.c> NOTIFY=NEVER", &taken));
    CHECK(taken == std::vector<std::string_view>{"a", "b.c", " NOTIFY=NEVER"});
    CHECK(!sim::matches("DATA", "DATA now"));
    CHECK(sim::matches("*", ""));
    CHECK(!sim::matches("a*b?", "axb"));
}

TEST_CASE("peers: every script of sim/peers parses, and says what it stands for and what a correct client gets")
{
    CHECK(sim::peer_files().size() >= 25);
    for (const sim::PeerFile& file : sim::peer_files()) {
        auto script = sim::Script::parse(file.text, file.name);
        CHECK_MESSAGE(script.has_value(), (script ? "" : script.error().text()));
        if (script) {
            CHECK_MESSAGE(!script->product.empty(), file.name);
            CHECK_MESSAGE(!script->expect.empty(), file.name);
        }
    }
}

TEST_CASE("exchange-2007: all four commands of the group that ends in QUIT are answered, in one turn")
{
    sim::Peer peer(sim::peer_text("exchange-2007"));
    const std::string heard = converse(peer, {{"", 1},
                                              {"EHLO amnesiac.example.com\r\n", 11},
                                              {"MAIL FROM:<sender@example.com>\r\nRCPT TO:<recipient@example.com>\r\nRSET\r\nQUIT\r\n", 4}});
    CHECK(heard.ends_with("250 XEXCH50\r\n250 2.1.0 Sender OK\r\n250 2.1.5 Recipient OK\r\n250 2.0.0 Resetting\r\n"
                          "221 2.0.0 Service closing transmission channel\r\n"));
    CHECK(peer.sessions().front().turns == 3);
    CHECK(peer.sessions().front().ended == "closed");
    CHECK(peer.faults().empty());
}

TEST_CASE("frontbridge: the same group gets a lone 221; the dot and QUIT together are answered")
{
    sim::Peer peer(sim::peer_text("frontbridge"));
    const std::string probe =
        converse(peer, {{"", 1}, {"EHLO c.test\r\n", 9}, {"MAIL FROM:<s@example.com>\r\nRCPT TO:<r@example.com>\r\nRSET\r\nQUIT\r\n", 9}});
    CHECK(probe.ends_with("250 CHUNKING\r\n221 2.0.0 Service closing transmission channel\r\n"));
    const std::string mail = converse(peer, {{"", 1},
                                             {"EHLO c.test\r\n", 9},
                                             {"MAIL FROM:<s@example.com>\r\nRCPT TO:<r@example.com>\r\nDATA\r\n", 3},
                                             {"Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n", 2}});
    CHECK(mail.ends_with("Queued mail for delivery\r\n221 2.0.0 Service closing transmission channel\r\n"));
    CHECK(peer.contents() == std::vector<std::string>{"Subject: x\r\n\r\n.dot\r\n"});
}

TEST_CASE("engine: a peer that reads by segment loses what follows the first line; a dialogue notes what it did not want")
{
    sim::Peer peer("reads segment\nS 220 x\non *\n S 250 $0");
    CHECK(converse(peer, {{"", 1}, {"A\r\nB\r\nC\r\n", 1}, {"D\r\n", 1}}) == "220 x\r\n250 A\r\n250 D\r\n");
    sim::Peer strict("S 220 x\nC EHLO *\n> MAIL *\nS 250 $1");
    CHECK(converse(strict, {{"", 1}, {"EHLO a\r\nMAIL b\r\n", 1}}) == "220 x\r\n250 b\r\n");
    CHECK(strict.faults().empty());
    sim::Peer split("S 220 x\nC EHLO *\n> MAIL *\nS 250 ok");
    converse(split, {{"", 1}, {"EHLO a\r\n", 0}, {"RCPT b\r\n", 1}});
    CHECK(split.faults() == std::vector<std::string>{"line 3: wanted 'MAIL *', got 'RCPT b'", "line 3: 'RCPT b' came in a segment of its own"});
}

TEST_CASE("engine: content is taken to the lone dot however it is cut, chunks by their announced size")
{
    sim::Peer peer("S 220 x\non DATA\n S 354 go\n content\n S 250 ok\non BDAT *\n chunk\n S 250 $0");
    CHECK(converse(peer, {{"", 1}, {"DATA\r\n", 1}, {"a\r", 0}, {"\n", 0}, {".\r\r\n.", 0}, {"\r\nBDAT 5 LAST\r\n.\r\n.", 0}, {"\r", 2}}) ==
          "220 x\r\n354 go\r\n250 ok\r\n250 BDAT 5 LAST\r\n");
    CHECK(peer.contents() == std::vector<std::string>{"a\r\n\r\r\n", ".\r\n.\r"});
}
