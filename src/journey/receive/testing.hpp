// receive/testing.hpp: a server with made-up neighbours, and clients over memory streams. All of it runs in settle(): no
// threads, no sockets; what would wait for a client returns.
#pragma once

#include "async/run.hpp"
#include "base/strings.hpp"
#include "milter/params.hpp"
#include "receive/content.hpp"
#include "receive/params.hpp"
#include "receive/server.hpp"
#include "tls/params.hpp"

#include <boost/asio/io_context.hpp>

#include <algorithm>
#include <map>
#include <set>

namespace posthorn::receive::testing {

// A group as fast clients send it, and what it must be answered with, whatever segments it comes in.
inline constexpr std::string_view group =
    "MAIL FROM:<a@b.test>\r\nRCPT TO:<user@example.test>\r\nRCPT TO:<nobody@example.test>\r\nRCPT TO:<other@example.test>\r\nDATA\r\n";

struct FakeQueue final : handoff::Queue {
    std::optional<std::string> next_queue_id() override
    {
        if (no_ids)
            return std::nullopt;
        return "Q" + std::to_string(++ids);
    }
    awaitable<Result<std::optional<handoff::Refusal>>> enqueue(handoff::Envelope envelope, handoff::Content content,
                                                               std::chrono::milliseconds patience) override
    {
        ++asked;
        const std::string id = envelope.queue_id();
        if (patience != handoff::no_patience)
            patiences.push_back(patience);
        if (wait)
            co_await wait(id);
        if (failure)
            co_return *failure;
        if (refused.contains(id))
            co_return Error{"write queue file: No space left on device", "4.3.1"};
        if (answer && patience != handoff::no_patience)
            co_return answer;
        stored.emplace_back(std::move(envelope), std::move(content));
        co_return std::nullopt;
    }

    bool no_ids = false;
    int ids = 0, asked = 0;
    std::function<awaitable<void>(std::string)> wait;     // before the answer about this queue id
    std::optional<Error> failure;
    std::vector<std::chrono::milliseconds> patiences;     // of clients that wait for what delivery says, and
    std::optional<handoff::Refusal> answer;               // what it says
    std::set<std::string> refused;                        // queue ids
    std::vector<std::pair<handoff::Envelope, handoff::Content>> stored;
};

/// Takes everything as it is; counts Received: fields like cleanup would.
struct FakeCleaner final : handoff::Cleaner {
    awaitable<std::expected<handoff::Cleaned, handoff::Refusal>> clean(handoff::Envelope envelope, std::string head) override
    {
        heads.push_back(head);
        if (head.find("X-Loop: yes") != std::string::npos)
            co_return std::unexpected(handoff::Refusal{554, "5.4.0", "Error: too many hops"});
        if (head.find("X-Round: yes") != std::string::npos)
            co_return std::unexpected(handoff::Refusal{554, "5.4.6", "Error: too many hops"});
        if (head.find("X-Bad: yes") != std::string::npos)
            co_return std::unexpected(handoff::Refusal{550, "5.7.1", "no"});
        envelope.set_message_id("<id>");
        co_return handoff::Cleaned{std::move(envelope), std::move(head)};
    }
    std::vector<std::string> heads;
};

/// example.test is local (user, other, postmaster), alias.test, box.test (u) and relay.test likewise; anything at fail.test fails.
struct FakeClasses final : handoff::AddressClasses {
    awaitable<Result<bool>> in_mynetworks(std::string, std::string address) override
    {
        if (broken)
            co_return Error{"mynetworks: table lookup problem", "4.3.0"};
        co_return address == "192.0.2.100";
    }
    awaitable<Result<handoff::AddressStanding>> standing(std::string address) override
    {
        using handoff::AddressClass;
        const auto at = address.rfind('@');
        std::string local = address.substr(0, at);
        const std::string completed = local == "completed" ? "nx.invalid" : "example.test";
        std::string domain = at == std::string::npos ? completed : address.substr(at + 1);
        const auto sign = local.find_first_of("%@!");
        if (const bool further = domain == "example.test" && sign != std::string::npos; further) {
            domain = local.substr(sign + 1);
            local.resize(sign);
            if (address[sign] == '!')
                std::swap(local, domain);
        }
        if (domain == "fail.test")
            co_return Error{"table lookup problem", "4.3.0"};
        handoff::AddressStanding standing;
        if (domain == "example.test")
            standing = handoff::AddressStanding(AddressClass::local, local == "user" || local == "other" || local == "postmaster");
        else if (domain == "alias.test")
            standing = handoff::AddressStanding(AddressClass::virtual_alias, local == "a");
        else if (domain == "box.test")
            standing = handoff::AddressStanding(AddressClass::virtual_mailbox, local == "u");
        else if (domain == "relay.test")
            standing = handoff::AddressStanding(AddressClass::relay, local != "nobody");
        standing.malformed = domain.empty();
        standing.routed = local.find_first_of("%@!") != std::string::npos;
        if (local + "@" + domain != address)
            standing.resolved = local + "@" + domain;
        if (local == "moved" && domain == "example.test") {
            standing.unknown_status = "5.1.6";
            standing.unknown_text = "User has moved to new@elsewhere.test";
        }
        co_return standing;
    }
    bool broken = false;
};

struct FakeNames final : Names {
    awaitable<Result<std::vector<std::string>>> names_of(std::string address) override
    {
        if (address == "192.0.2.68")
            co_return Error{"Temporary failure in name resolution", "4.4.3"};
        const auto found = names.find(address);
        co_return found == names.end() ? std::vector<std::string>{} : std::vector<std::string>{found->second};
    }
    awaitable<Result<std::vector<std::string>>> addresses_of(std::string name) override
    {
        if (name == "slow.test")
            co_return Error{"Temporary failure in name resolution", "4.4.3"};
        const auto found = addresses.find(name);
        co_return found == addresses.end() ? std::vector<std::string>{} : std::vector<std::string>{found->second};
    }
    awaitable<Result<MailHost>> mail_host(std::string domain) override
    {
        if (domain == "slow.test")
            co_return Error{"Host or domain name not found, try again", "4.4.3"};
        if (domain == "null.test")
            co_return MailHost::null_mx;
        co_return domain.ends_with(".invalid") || domain == "absent.test" ? MailHost::absent : MailHost::found;
    }
    awaitable<dns::Answer> records(std::string name, dns::Type type) override
    {
        asked.push_back(name);
        const auto found = zone.find({name, type});
        if (found != zone.end())
            co_return found->second;
        dns::Answer absent;
        absent.status = dns::Status::nxdomain;
        co_return absent;
    }
    std::map<std::pair<std::string, dns::Type>, dns::Answer> zone;
    std::vector<std::string> asked;
    std::map<std::string, std::string> names{
        {"192.0.2.1", "client.test"}, {"192.0.2.100", "inside.test"}, {"192.0.2.66", "liar.test"}, {"192.0.2.69", "slow.test"}};
    std::map<std::string, std::string> addresses{{"client.test", "192.0.2.1"}, {"inside.test", "192.0.2.100"}, {"liar.test", "192.0.2.99"}};
};

/// good@ is deliverable, bad@ is not, the host of slow@ does not answer, none@ cannot be asked about; others are never done.
struct FakeVerifier final : handoff::Verifier {
    awaitable<Result<handoff::Finding>> verify(std::string address, std::chrono::milliseconds patience) override
    {
        using Kind = handoff::Finding::Kind;
        asked.push_back(address);
        patiences.push_back(patience);
        if (address.starts_with("good@"))
            co_return handoff::Finding(Kind::deliverable, "250 2.1.5 Recipient OK");
        if (address.starts_with("bad@"))
            co_return handoff::Finding(Kind::undeliverable,
                                       "host h[192.0.2.9] said: 550 5.1.1 No such user (in reply to RCPT TO command)" + std::string(300, '.'));
        if (address.starts_with("slow@"))
            co_return handoff::Finding(Kind::deferred, "connect to h[192.0.2.9]:25: Connection timed out");
        if (address.starts_with("none@"))
            co_return Error{"connection refused"};
        co_return handoff::Finding(Kind::in_progress, "Address verification in progress");
    }
    void ask_ahead(std::string address) override { ahead.push_back(std::move(address)); }
    std::optional<std::string> probe_sender(std::string_view address) const override
    {
        return address == "double-bounceX1@mx.example.test" ? std::optional<std::string>("double-bounce@mx.example.test") : std::nullopt;
    }
    std::vector<std::string> asked, ahead;
    std::vector<std::chrono::milliseconds> patiences;
};

struct FakeFolder final : IncomingFolder {
    std::uint64_t free_octets() override { return free; }
    std::uint64_t free = 1ULL << 40;
    struct File final : IncomingFile {
        explicit File(FakeFolder& in, std::string with_name) : folder(in), file(std::move(with_name)) { folder.files[file]; }
        ~File() override
        {
            if (!kept && !nameless)
                folder.files.erase(file);
        }
        awaitable<Result<void>> append(std::string_view octets) override
        {
            if (folder.fail_append)
                co_return Error{"write: No space left on device", "4.3.1"};
            folder.largest_piece = std::max(folder.largest_piece, octets.size());
            folder.odd_pieces += octets.size() % Content::block != 0;
            folder.files[file] += octets;
            co_return Result<void>{};
        }
        awaitable<Result<std::string>> read(std::uint64_t offset, std::size_t most) override
        {
            co_return (nameless ? *nameless : folder.files[file]).substr(offset, most);
        }
        awaitable<Result<void>> sync() override
        {
            if (folder.fail_sync)
                co_return Error{"fsync: Input/output error", "4.3.0"};
            folder.synced.insert(file);
            co_return Result<void>{};
        }
        awaitable<Result<void>> give_up_name() override
        {
            nameless = folder.files[file];
            folder.files.erase(file);
            co_return Result<void>{};
        }
        void keep() override { kept = true; }
        std::string name() const override { return file; }
        FakeFolder& folder;
        std::string file;
        std::optional<std::string> nameless;              // what it holds, since another has its name
        bool kept = false;
    };
    awaitable<Result<std::unique_ptr<IncomingFile>>> create(std::string queue_id) override
    {
        if (fail_create)
            co_return Error{"open: Read-only file system", "4.3.0"};
        co_return std::make_unique<File>(*this, "incoming/" + queue_id);
    }
    bool fail_create = false, fail_append = false, fail_sync = false;
    std::size_t largest_piece = 0, odd_pieces = 0;        // the latter: not of whole blocks
    std::map<std::string, std::string> files;
    std::set<std::string> synced;
};

struct FakePostmaster final : Postmaster {
    void tell(handoff::SessionNotice notice) override { told.push_back(std::move(notice)); }
    std::vector<handoff::SessionNotice> told;
};

/// main.cf as pairs over the defaults of a host mx.example.test.
inline Options options_of(std::vector<std::pair<std::string, std::string>> written = {})
{
    std::vector<config::Assignment> assignments{{.name = "myhostname", .value = "mx.example.test"},
                                                {.name = "compatibility_level", .value = "3.11"},
                                                {.name = "mynetworks", .value = "192.0.2.100"},
                                                {.name = "smtpd_error_sleep_time", .value = "0"},
                                                {.name = "mail_name", .value = "Posthorn"}};
    for (auto& [name, value] : written)
        assignments.push_back({.name = name, .value = value});
    static const std::span<const config::ParamInfo> rooms[] = {params, tls::params, milter::params};
    return Options::from(config::Snapshot(config::Site{.host_name = "mx.example.test"}, "/nonexistent", rooms).with(assignments, "test"));
}

class Talk;

struct House {
    explicit House(Options with = options_of()) : options(std::move(with)) {}
    ~House()
    {
        talks_end();
        server.reset();
    }
    Server& smtpd()
    {
        if (!server) {
            Outside outside(queue, cleaner, classes, names, tables, folder, clock, observe::Log(sink, "postfix/smtpd"));
            outside.tls = tls;
            outside.flush_site = flush_site;
            outside.account_limits = account_limits;
            outside.verifier = &verifier;
            outside.auth_connector = auth_connector;
            outside.router = router;
            outside.other_filters = other_filters;
            outside.rates = rates;
            outside.cleanup_log = observe::Log(sink, "postfix/cleanup");
            outside.screen_log = observe::Log(sink, "postfix/postscreen");
            outside.remembered = remembered;
            outside.postmaster = &postmaster;
            outside.record_rejection = record_rejection;
            outside.trials = trials;
            server = std::make_unique<Server>(loop.get_executor(), options, std::move(outside));
        }
        return *server;
    }
    void settle()
    {
        do {
            loop.restart();
        } while (loop.poll() > 0);
    }
    void talks_end() { settle(); }
    /// Log lines without their tag.
    std::vector<std::string> log() const
    {
        std::vector<std::string> lines;
        for (const std::string& line : sink->lines)
            lines.push_back(line.substr(line.find(": ") + 2));
        return lines;
    }
    bool logged(std::string_view line) const
    {
        const auto lines = log();
        return std::ranges::find(lines, line) != lines.end();
    }
    std::string whole_log() const
    {
        std::string text;
        for (const auto& line : log())
            text += line + "\n";
        return text;
    }

    asio::io_context loop;
    HandClock clock;
    std::shared_ptr<observe::MemorySink> sink = std::make_shared<observe::MemorySink>();
    tables::Tables tables{observe::Log(sink, "postfix/smtpd"), clock};
    FakeQueue queue;
    FakeCleaner cleaner;
    FakeClasses classes;
    FakeNames names;
    FakeVerifier verifier;
    FakeFolder folder;
    FakePostmaster postmaster;
    std::function<void(const handoff::Rejected&)> record_rejection;
    handoff::TrialListener* trials = nullptr;
    TlsAcceptor* tls = nullptr;
    AuthConnector auth_connector;
    handoff::Router* router = nullptr;
    handoff::Filters* other_filters = nullptr;
    Rates* rates = nullptr;
    screen::Remembered* remembered = nullptr;
    std::function<awaitable<Result<void>>(std::string)> flush_site;
    std::function<awaitable<Result<std::string>>(std::string)> account_limits;
    Options options;
    std::unique_ptr<Server> server;
};

/// One client of the house.
class Talk {
public:
    explicit Talk(House& house, std::string address = "192.0.2.1", std::shared_ptr<net::Faults> faults = nullptr, std::string ahead = {})
        : house_(house)
    {
        net::MemoryOptions options;
        options.faults = std::move(faults);
        options.first = net::Endpoint(net::IpAddress::parse(address).value_or(net::IpAddress()), 40000);
        auto [client, served] = net::memory_pair(house.loop.get_executor(), options);
        client_ = std::move(client);
        server_end_ = served.get();
        if (!ahead.empty())
            write(ahead);
        asio::co_spawn(house.loop, house.smtpd().serve(std::move(served)), [this](std::exception_ptr failure) {
            ended_ = true;
            if (failure)
                std::rethrow_exception(failure);
        });
        greeting = receive();
    }
    Talk(Talk&&) = delete;
    ~Talk()
    {
        client_->close();
        house_.settle();
    }

    /// One segment out, all replies to it back.
    std::string send(std::string_view octets)
    {
        write(octets);
        return receive();
    }
    std::string operator()(std::string_view line) { return send(std::string(line) + "\r\n"); }
    void write(std::string_view octets)
    {
        while (!octets.empty()) {
            const iovec piece{const_cast<char*>(octets.data()), octets.size()};
            const net::Io wrote = client_->try_write({&piece, 1});
            if (wrote.state == net::Io::State::done)
                octets.remove_prefix(wrote.octets);
            else if (wrote.state == net::Io::State::again)
                house_.settle();
            else
                return;
        }
    }
    std::string receive()
    {
        house_.settle();
        std::string text;
        char room[4096];
        for (;;) {
            const net::Io got = client_->try_read(room);
            if (got.state == net::Io::State::done)
                text.append(room, got.octets);
            else
                break;
            house_.settle();
        }
        return text;
    }
    /// The client's end goes without a word.
    void hang_up()
    {
        client_->close();
        house_.settle();
    }
    void expire()
    {
        server_end_->expires_at(std::chrono::steady_clock::now() - std::chrono::seconds(1));
        house_.loop.restart();
        house_.loop.run_for(std::chrono::milliseconds(5));
        house_.settle();
    }
    bool ended()
    {
        house_.settle();
        return ended_;
    }
    /// When the server gives up waiting for this client.
    SteadyTime deadline() const { return server_end_->deadline(); }
    std::size_t segments_from_server() const { return server_end_->segments_written(); }

    std::string greeting;

private:
    House& house_;
    std::unique_ptr<net::MemoryStream> client_;
    net::MemoryStream* server_end_;
    bool ended_ = false;
};

/// A dialogue as in style.md 4.10: lines "S reply", "C command", "> command in the same segment". Gives back the same text with
/// what the server really said, so that a test compares the two.
inline std::vector<std::string> lines_of(std::string_view text)
{
    std::vector<std::string> lines;
    for (std::string_view line : split_exact(text, '\n'))
        if (!trim(line).empty())
            lines.emplace_back(trim(line));
    return lines;
}

inline bool has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

inline std::string said(House& house, std::string_view script, std::string address = "192.0.2.1")
{
    Talk talk(house, std::move(address));
    std::string transcript;
    const auto note = [&](const std::string& replies) {
        for (const std::string& line : lines_of(replies))
            transcript += "S " + line + "\n";
    };
    note(talk.greeting);
    const auto lines = lines_of(script);
    for (std::size_t at = 0; at < lines.size(); ++at) {
        if (!lines[at].starts_with("C"))
            continue;
        std::string segment = lines[at].substr(std::min<std::size_t>(2, lines[at].size())) + "\r\n";
        transcript += lines[at] + "\n";
        while (at + 1 < lines.size() && lines[at + 1].starts_with(">")) {
            ++at;
            segment += lines[at].substr(std::min<std::size_t>(2, lines[at].size())) + "\r\n";
            transcript += lines[at] + "\n";
        }
        note(talk.send(segment));
    }
    return transcript;
}

inline std::string written(std::string_view script)
{
    std::string text;
    for (const std::string& line : lines_of(script))
        text += line + "\n";
    return text;
}

}  // namespace posthorn::receive::testing
