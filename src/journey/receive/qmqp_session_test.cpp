// A QMQP client and what it hears: one packet, one answer.
#include "receive/testing.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

using namespace posthorn;
using namespace posthorn::receive;
using namespace posthorn::receive::testing;

namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

Options for_qmqp(Settings more = {})
{
    Settings settings{{"qmqpd_authorized_clients", "192.0.2.0/24"}, {"qmqpd_error_delay", "0"}};
    settings.insert(settings.end(), more.begin(), more.end());
    return options_of(std::move(settings));
}

std::string netstring(std::string_view text) { return fmt::format("{}:{},", text.size(), text); }

std::string packet_of(std::string_view content, std::string_view sender, std::vector<std::string> recipients)
{
    std::string inner = netstring(content) + netstring(sender);
    for (const std::string& recipient : recipients)
        inner += netstring(recipient);
    return netstring(inner);
}

const std::string usual = packet_of("Subject: x\n\nbody\n", "a@b.test", {"user@example.test"});

/// The text of the netstring that a client hears who says this, and then nothing more; empty: it hears nothing.
std::string heard(House& house, std::string_view octets, std::string address = "192.0.2.1", bool timeout = false)
{
    net::MemoryOptions options;
    options.first = net::Endpoint(net::IpAddress::parse(address).value_or(net::IpAddress()), 40000);
    auto [client, served] = net::memory_pair(house.loop.get_executor(), options);
    net::MemoryStream* const server_end = served.get();
    bool ended = false;
    asio::co_spawn(house.loop, house.smtpd().serve_qmqp(std::move(served)), [&](std::exception_ptr failure) {
        ended = true;
        if (failure)
            std::rethrow_exception(failure);
    });
    house.settle();
    std::string said;
    const auto hear = [&] {
        char room[4096];
        for (;;) {
            house.settle();
            const net::Io got = client->try_read(room);
            if (got.state != net::Io::State::done || got.octets == 0)
                return;
            said.append(room, got.octets);
        }
    };
    while (!octets.empty()) {
        const iovec piece{const_cast<char*>(octets.data()), octets.size()};
        const net::Io wrote = client->try_write({&piece, 1});
        if (wrote.state == net::Io::State::done)
            octets.remove_prefix(wrote.octets);
        else if (wrote.state != net::Io::State::again)
            break;
        house.settle();
    }
    hear();
    if (timeout) {
        server_end->expires_at(std::chrono::steady_clock::now() - std::chrono::seconds(1));
        house.loop.restart();
        house.loop.run_for(std::chrono::milliseconds(5));
        hear();
    }
    client->close();
    house.settle();
    CHECK(ended);
    const std::string text = said.empty() ? said : said.substr(said.find(':') + 1, said.size() - said.find(':') - 2);
    CHECK((said.empty() || said == netstring(text)));
    return text;
}

struct Filtering final : handoff::Filters {
    awaitable<std::expected<handoff::Shown, handoff::Refusal>> show(handoff::Envelope envelope, std::uint64_t size, Read read) override
    {
        const auto content = co_await read(0, static_cast<std::size_t>(size));
        seen.push_back(content.value_or("unreadable"));
        if (refusal)
            co_return std::unexpected(*refusal);
        handoff::Shown shown(std::move(envelope));
        shown.discard = discard;
        if (!head.empty()) {
            shown.head = head;
            shown.old_head = content->find("\r\n\r\n") + 4;
        }
        co_return shown;
    }
    std::vector<std::string> seen;
    std::optional<handoff::Refusal> refusal;
    bool discard = false;
    std::string head;
};

awaitable<void> note_asked(bool* asked)
{
    *asked = true;
    co_return;
}

}  // namespace

TEST_CASE("QMQP: a packet becomes a message, which is stored before the answer")
{
    House house(for_qmqp());
    const std::string rest = "Subject: x\n\n.body\nmore";
    CHECK(heard(house, packet_of(rest, "a@b.test", {"user@example.test", "other@far.test"})) == "KOk: queued as Q1");
    REQUIRE(house.queue.stored.size() == 1);
    const auto& [envelope, content] = house.queue.stored.front();
    CHECK(envelope.sender() == "a@b.test");
    REQUIRE(envelope.recipients_size() == 2);
    CHECK(envelope.recipients(1).address() == "other@far.test");
    CHECK(envelope.recipients(1).index() == 1);
    CHECK(envelope.client().protocol() == "QMQP");
    CHECK(envelope.client().name() == "client.test");
    const std::string& text = content.inline_octets();
    CHECK(text.starts_with("Received: from client.test (client.test [192.0.2.1])\r\n\tby mx.example.test (Posthorn) with QMQP\r\n\tid Q1; "));
    CHECK(text.ends_with("Subject: x\r\n\r\n.body\r\nmore\r\n"));
    CHECK(envelope.size() == text.size());
    CHECK(house.whole_log() == "connect from client.test[192.0.2.1]\nQ1: client=client.test[192.0.2.1]\ndisconnect from client.test[192.0.2.1]\n");
    CHECK(house.server->counters().accepted == 1);
    CHECK(house.server->counters().transactions == 0);
    CHECK(house.server->counters().sessions == 0);
}

TEST_CASE("QMQP: no answer says that it was taken before the queue has it, and none that it was where the queue has not")
{
    House house(for_qmqp());
    bool asked = false;
    house.queue.wait = [&asked](std::string) { return note_asked(&asked); };
    house.queue.failure = Error{"commit: Input/output error", "4.3.0"};
    CHECK(heard(house, usual) == "ZError: queue file write error");
    CHECK(asked);
    CHECK(house.logged("warning: Q1: client.test[192.0.2.1]: Error: queue file write error"));
    house.queue.failure.reset();
    house.queue.no_ids = true;
    CHECK(heard(house, usual) == "ZError: queue file write error");
    CHECK(house.queue.stored.empty());
}

TEST_CASE("QMQP: who is not named may not; a list that cannot be asked lets nobody in, and sends nobody away for good")
{
    House house(options_of({{"qmqpd_authorized_clients", "192.0.2.7"}, {"qmqpd_error_delay", "0"}}));
    CHECK(heard(house, "") == "DError: client.test[192.0.2.1] is not authorized to use this service");
    CHECK(heard(house, usual, "192.0.2.7").starts_with("KOk"));
    CHECK(house.queue.stored.size() == 1);
    CHECK_FALSE(house.logged("Q1: client=client.test[192.0.2.1]"));
    House nobody(options_of({{"qmqpd_error_delay", "0"}}));
    CHECK(heard(nobody, usual, "192.0.2.100").starts_with("DError: inside.test[192.0.2.100] is not authorized"));
    House broken(options_of({{"qmqpd_authorized_clients", "texthash:/nonexistent/table"}, {"qmqpd_error_delay", "0"}}));
    CHECK(heard(broken, usual) == "ZError: server configuration error");
}

TEST_CASE("QMQP: what is wrong with a packet is said with its place")
{
    House house(for_qmqp({{"message_size_limit", "2000"}, {"line_length_limit", "600"}, {"qmqpd_client_port_logging", "yes"}}));
    CHECK(heard(house, "EHLO x\r\n") == "Dnetstring format error while receiving QMQP packet header");
    CHECK(house.logged("Q1: client.test[192.0.2.1]:40000: netstring format error while receiving QMQP packet header"));
    CHECK(heard(house, "9999:3000:x") == "Dnetstring length exceeds storage limit while receiving message content");
    CHECK(heard(house, "9999:1:x,601:y") == "Dnetstring length exceeds storage limit while receiving sender address");
    CHECK(heard(house, "9999:1:x,1:y,601:z") == "Dnetstring length exceeds storage limit while receiving recipient address");
    CHECK(heard(house, "9999:1:x,1:") == "");
    CHECK(house.logged("Q5: client.test[192.0.2.1]:40000: lost connection while receiving sender address"));
    CHECK(heard(house, "9999:1:x,1:y,", "192.0.2.1", true) == "");
    CHECK(house.logged("Q6: client.test[192.0.2.1]:40000: read/write timeout while receiving recipient address"));
    CHECK(house.queue.stored.empty());
    CHECK(house.server->counters().transactions == 0);
}

TEST_CASE("QMQP: what is refused of a message is said once, for all of it, and in the log")
{
    House house(for_qmqp({{"message_size_limit", "2000"}}));
    CHECK(heard(house, packet_of("x\n", "a@b.test", {})) == "DError: no recipients specified");
    CHECK(house.logged("warning: Q1: client.test[192.0.2.1]: Error: no recipients specified"));
    CHECK(heard(house, packet_of("X-Loop: yes\n\n", "a@b.test", {"user@example.test"})) == "DError: too many hops");
    CHECK(heard(house, packet_of("X-Bad: yes\n\n", "a@b.test", {"user@example.test"})) == "DError: 5.7.1 no");
    CHECK(heard(house, packet_of("x: y\n\n" + std::string(990, '\n'), "a@b.test", {"user@example.test"})).starts_with("KOk"));
    CHECK(heard(house, packet_of("x: y\n\n" + std::string(1990, '\n'), "a@b.test", {"user@example.test"})) == "DError: message too large");
    for (const std::string wrong : {"user@example.test\r\nRCPT TO:<x@y>", "u\x7f@example.test", "\xff@example.test"})
        CHECK(heard(house, packet_of("x\n", "a@b.test", {wrong})) == "DError: bad address syntax");
    CHECK(heard(house, packet_of("x\n", "a\n@b.test", {"user@example.test"})) == "DError: bad address syntax");
    CHECK(house.queue.stored.size() == 1);
    CHECK(house.server->rejections().counts().at({"END-OF-MESSAGE", "5", "content"}) == 8);
    House soft(for_qmqp({{"soft_bounce", "yes"}}));
    CHECK(heard(soft, packet_of("x\n", "a@b.test", {})) == "ZError: no recipients specified");
}

TEST_CASE("QMQP: variable return paths, by characters that may be")
{
    House house(for_qmqp());
    CHECK(heard(house, packet_of("x\n", "list-@b.test-@[]", {"user@example.test"})).starts_with("KOk"));
    CHECK(house.queue.stored.front().first.sender() == "list@b.test");
    CHECK(house.queue.stored.front().first.verp() == "-=");
    CHECK(heard(house, packet_of("x\n", "list.@b.test-@[]", {"user@example.test"})) ==
          "DError: Invalid VERP delimiters: \".=\". Need two characters from \"-=+\"");
}

TEST_CASE("QMQP: other mail's filters see it, and the restrictions of SMTP do not")
{
    House house(for_qmqp({{"content_filter", "smtp:[192.0.2.9]:10025"}, {"smtpd_recipient_restrictions", "reject"}}));
    Filtering filter;
    house.other_filters = &filter;
    filter.head = "X-Seen: yes\r\n\r\n";
    CHECK(heard(house, usual).starts_with("KOk"));
    REQUIRE(filter.seen.size() == 1);
    CHECK(filter.seen.front().ends_with("Subject: x\r\n\r\nbody\r\n"));
    CHECK(house.queue.stored.front().second.inline_octets() == "X-Seen: yes\r\n\r\nbody\r\n");
    CHECK(house.queue.stored.front().first.size() == 21);
    CHECK(house.queue.stored.front().first.filter() == "smtp:[192.0.2.9]:10025");
    filter.discard = true;
    CHECK(heard(house, usual) == "KOk: queued as Q2");
    filter.refusal = handoff::Refusal(550, "5.7.1", "spam");
    CHECK(heard(house, usual) == "DError: 5.7.1 spam");
    CHECK(house.queue.stored.size() == 1);
}

TEST_CASE("QMQP: a large message goes into a file, and memory that is not there refuses it for now")
{
    House house(for_qmqp());
    CHECK(heard(house, packet_of("Subject: x\n\n" + std::string(300'000, 'x') + "\n", "a@b.test", {"user@example.test"})).starts_with("KOk"));
    const std::string file = house.queue.stored.front().second.file();
    CHECK(house.folder.files.at(file).ends_with("xxx\r\n"));
    CHECK(house.folder.synced.contains(file));
    House small(for_qmqp({{"smtpd_memory_limit", "1048576"}}));
    CHECK(heard(small, packet_of("Subject: x\n\n" + std::string(3'000'000, 'x') + "\n", "a@b.test", {"user@example.test"})) ==
          "ZError: 4.3.1 Insufficient system storage");
    CHECK(small.server->counters().memory == 0);
}

TEST_CASE("QMQP: a generation that ends takes no more, and no more than there are places")
{
    House house(for_qmqp());
    house.smtpd().drain();
    CHECK(heard(house, usual) == "ZError: service is shutting down");
    Options few = for_qmqp();
    few.transaction_limit = 1;
    House crowded(std::move(few));
    auto [client, served] = net::memory_pair(crowded.loop.get_executor(), [] {
        net::MemoryOptions options;
        options.first = net::Endpoint(net::IpAddress::parse("192.0.2.1").value_or(net::IpAddress()), 40000);
        return options;
    }());
    asio::co_spawn(crowded.loop, crowded.smtpd().serve_qmqp(std::move(served)), asio::detached);
    crowded.settle();
    CHECK(heard(crowded, usual) == "ZError: all server ports are busy");
    client->close();
    crowded.settle();
    CHECK(heard(crowded, usual).starts_with("KOk"));
}
