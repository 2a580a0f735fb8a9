// send/world_test.hpp: an Agent, peers of sim/, a name service from a table, all on one loop. Streams are in memory.
#pragma once

#include "send/agent.hpp"
#include "sim/engine.hpp"
#include "sim/leap/leap.hpp"
#include "sim/peers.hpp"

#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include <map>
#include <set>

namespace posthorn::send {

class TableNames final : public Names {
public:
    std::map<std::string, std::vector<std::pair<std::uint16_t, std::string>>> mx_of;
    std::map<std::string, std::vector<std::string>> addresses_of;
    std::map<std::string, std::vector<std::string>> txt_of;
    std::map<std::string, dns::Status> fails;
    std::map<std::string, std::vector<dns::Record>> tlsa_of;            // "_25._tcp.mx.test"
    std::map<std::string, std::vector<dns::Record>> srv_of;             // "_submission._tcp.example.test"
    std::map<std::string, std::string> alias_of;                        // CNAMEs, of hosts and domains
    std::set<std::string> is_signed;                                    // names whose records DNSSEC vouches for; "MX example.test": those alone
    unsigned questions = 0;
    std::chrono::milliseconds takes{0};                                 // a question about MX

    awaitable<dns::Answer> mx(std::string domain) override
    {
        ++questions;
        if (takes.count() != 0)
            co_await sleep_for(takes);
        dns::Answer answer;
        if (const auto failure = fails.find(domain); failure != fails.end())
            answer.status = failure->second;
        else if (const auto found = mx_of.find(domain); found != mx_of.end()) {
            answer.status = dns::Status::found;
            for (const auto& [preference, host] : found->second) {
                dns::Record record;
                record.type = dns::Type::mx;
                record.preference = preference;
                record.host = host;
                answer.records.push_back(record);
            }
        } else
            answer.status = addresses_of.contains(domain) ? dns::Status::nodata : dns::Status::nxdomain;
        answer.secure = is_signed.contains("MX " + domain);
        answer.canonical_name = alias_of.contains(domain) ? alias_of[domain] : domain;
        co_return answer;
    }
    awaitable<dns::Addresses> addresses(std::string host, dns::Families) override
    {
        dns::Addresses found;
        if (const auto failure = fails.find(host); failure != fails.end())
            found.status = failure->second;
        else if (const auto at = addresses_of.find(host); at != addresses_of.end()) {
            found.status = dns::Status::found;
            for (const std::string& text : at->second)
                found.list.push_back(*net::IpAddress::parse(text));
        } else
            found.status = dns::Status::nxdomain;
        found.secure = is_signed.contains(host);
        found.canonical_name = alias_of.contains(host) ? alias_of[host] : host;
        co_return found;
    }
    awaitable<dns::Answer> query(std::string name, dns::Type type) override
    {
        ++questions;
        dns::Answer answer;
        answer.status = dns::Status::nxdomain;
        answer.secure = is_signed.contains(name);
        if (const auto failure = fails.find(name); failure != fails.end())
            answer.status = failure->second;
        else if (const auto records = tlsa_of.find(name); type == dns::Type::tlsa && records != tlsa_of.end()) {
            answer.status = dns::Status::found;
            answer.records = records->second;
        } else if (const auto texts = txt_of.find(name); type == dns::Type::txt && texts != txt_of.end()) {
            answer.status = dns::Status::found;
            for (const std::string& text : texts->second)
                answer.records.emplace_back().text = text;
        } else if (const auto services = srv_of.find(name); type == dns::Type::srv && services != srv_of.end()) {
            answer.status = dns::Status::found;
            answer.records = services->second;
        } else if (const auto link = alias_of.find(name); type == dns::Type::cname && link != alias_of.end()) {
            answer.status = dns::Status::found;
            answer.secure = is_signed.contains("CNAME " + name);
            answer.records.emplace_back().host = link->second;
        }
        co_return answer;
    }
};

inline constexpr auto delivered = handoff::OUTCOME_DELIVERED;

/// One message to one or more recipients of example.test.
inline handoff::DeliveryRequest request(std::vector<std::string> recipients, std::string content = "Subject: x\r\n\r\nhello\r\n",
                                        std::string next_hop = "[192.0.2.2]")
{
    handoff::DeliveryRequest made;
    made.set_attempt(7);
    made.set_message(9);
    made.mutable_route()->set_transport("smtp");
    made.mutable_route()->set_nexthop(next_hop);
    made.mutable_route()->set_site("smtp:" + next_hop);
    handoff::Envelope& envelope = *made.mutable_envelope();
    envelope.set_queue_id("4gDq8v1Yc0z3D");
    envelope.set_sender("sender@client.test");
    envelope.set_size(content.size());
    for (std::size_t i = 0; i < recipients.size(); ++i) {
        handoff::Recipient& to = *envelope.add_recipients();
        to.set_index(static_cast<std::uint32_t>(i));
        to.set_address(recipients[i]);
    }
    made.mutable_content()->set_inline_octets(std::move(content));
    return made;
}

inline handoff::DeliveryRequest mail() { return request({"user@example.test"}); }

inline handoff::DeliveryRequest probe(std::vector<std::string> recipients)
{
    auto made = request(std::move(recipients), "");
    made.set_probe(true);
    return made;
}

class World {
public:
    World() : tasks(loop.get_executor()) { options.my_name = options.helo_name = "client.test"; }
    explicit World(std::string_view script) : World() { add("192.0.2.2", script); }

    /// A peer at an address; its script's text, or the name of one of sim/peers.
    sim::Peer& add(const std::string& address, std::string_view script)
    {
        const std::string_view text = sim::peer_text(script).empty() ? script : sim::peer_text(script);
        return *(peers[address] = std::make_unique<sim::Peer>(text, settings));
    }

    sim::Peer& add(const std::string& address, sim::Script script)
    {
        return *(peers[address] = std::make_unique<sim::Peer>(std::move(script), settings));
    }

    sim::Peer& peer(const std::string& address = "192.0.2.2") { return *peers.at(address); }

    std::vector<handoff::Verdicts> run(std::vector<handoff::DeliveryRequest> requests)
    {
        Surroundings around(loop.get_executor(), turned ? *turned : static_cast<const Clock&>(clock), observe::Log(log, "postfix/smtp"), names);
        around.tls = tls;
        around.peers = knowledge;
        around.transcripts = transcripts;
        around.seed = 1;
        around.own_addresses = own_addresses;
        around.discard = discard;
        around.tls_policy = tls_policy;
        around.requiretls_policy = requiretls_policy;
        around.sts = sts;
        around.reports = reports;
        around.trials = trials;
        around.tls_trial = tls_trial;
        around.debug = debug;
        around.pix = pix;
        around.reply_filter = reply_filter;
        around.status_filter = status_filter;
        around.bounce_classes = bounce_classes;
        around.passwords = passwords;
        around.connector = [this](net::Endpoint endpoint, net::ConnectOptions how) -> awaitable<Result<std::unique_ptr<net::Stream>>> {
            segments.push_back(how.segment);
            return connect(endpoint);
        };
        around.path = path;
        agent = std::make_unique<Agent>(options, std::move(around));
        std::vector<handoff::Verdicts> results(requests.size());
        asio::co_spawn(loop, all(&requests, &results), [](std::exception_ptr failure) {
            if (failure)
                std::rethrow_exception(failure);
        });
        loop.restart();
        if (leaps)
            ended = sim::run_leaping(loop, most_time, [this](std::chrono::microseconds by) { leaps->advance(by); }, most_turns);
        else
            loop.run();
        return results;
    }
    handoff::Verdicts run(handoff::DeliveryRequest one)
    {
        std::vector<handoff::DeliveryRequest> requests;
        requests.push_back(std::move(one));
        return std::move(run(std::move(requests)).front());
    }

    asio::io_context loop{1};
    SystemClock clock;
    const Clock* turned = nullptr;          // by hand, where one is given
    HandClock* leaps = nullptr;             // turned by all waiting, which then takes no time
    Options options;
    TableNames names;
    sim::Settings settings;
    std::shared_ptr<observe::MemorySink> log = std::make_shared<observe::MemorySink>();
    std::map<std::string, std::unique_ptr<sim::Peer>> peers;
    std::map<std::string, std::function<awaitable<void>(std::unique_ptr<net::Stream>)>> players;
    std::vector<net::IpAddress> own_addresses;
    TlsClient* tls = nullptr;
    peers::Peers* knowledge = nullptr;
    Transcripts* transcripts = nullptr;
    DiscardMaps* discard = nullptr;
    DebugPeers* debug = nullptr;
    Passwords* passwords = nullptr;
    sts::Policies* sts = nullptr;
    TlsReports* reports = nullptr;
    handoff::TrialListener* trials = nullptr;
    Lookup *tls_policy = nullptr, *tls_trial = nullptr, *requiretls_policy = nullptr, *pix = nullptr, *reply_filter = nullptr,
           *status_filter = nullptr, *bounce_classes = nullptr;
    std::unique_ptr<Agent> agent;
    std::chrono::microseconds most_time = std::chrono::hours(1000);     // of a run that leaps
    std::uint64_t most_turns = UINT64_MAX;
    bool ended = true;
    net::MemoryOptions memory;
    std::function<void(net::MemoryOptions&)> spoil;     // of each connection
    std::function<std::unique_ptr<net::Stream>(std::unique_ptr<net::Stream>)> wrap;     // the client's end
    std::function<std::optional<net::Path>(const net::Stream&)> path = net::path_of;
    unsigned connects = 0;
    std::vector<int> segments;              // each was told to send, at most
    bool takes_a_turn = false;              // to connect: others get as far meanwhile
    std::chrono::milliseconds connect_takes{0};
    std::string never_answers;              // the address where a connection times out
    bool in_turn = false;                   // deliveries one after the other, on one agent

private:
    awaitable<Result<std::unique_ptr<net::Stream>>> connect(net::Endpoint endpoint)
    {
        ++connects;
        if (takes_a_turn)
            co_await asio::post(loop, use_awaitable);
        if (connect_takes.count() != 0)
            co_await sleep_for(connect_takes);
        if (!never_answers.empty() && endpoint.ip.text() == never_answers)
            co_return Error("Connection timed out", "4.4.1");
        const std::string address = endpoint.is_unix() ? endpoint.path : endpoint.ip.text();
        const auto player = players.find(address);
        const auto found = peers.find(address);
        if (found == peers.end() && player == players.end())
            co_return Error("Connection refused", "4.4.1");
        net::MemoryOptions line = memory;
        if (spoil)
            spoil(line);
        auto [client, server] = net::memory_pair(loop.get_executor(), line);
        tasks.spawn(player != players.end() ? player->second(std::move(server)) : found->second->play(std::move(server)));
        std::unique_ptr<net::Stream> stream = std::move(client);
        co_return wrap ? wrap(std::move(stream)) : std::move(stream);
    }

    awaitable<void> one(handoff::DeliveryRequest* what, handoff::Verdicts* result) { *result = co_await agent->deliver(std::move(*what)); }

    awaitable<void> all(std::vector<handoff::DeliveryRequest>* requests, std::vector<handoff::Verdicts>* results)
    {
        TaskGroup deliveries(loop.get_executor());
        for (std::size_t i = 0; i < requests->size(); ++i) {
            if (in_turn)
                co_await one(&(*requests)[i], &(*results)[i]);
            else
                deliveries.spawn(one(&(*requests)[i], &(*results)[i]));
        }
        co_await deliveries.drained();
        co_await agent->drain();
        co_await tasks.drained();
    }

    TaskGroup tasks;
};

/// What was logged with these words in it.
inline std::vector<std::string> lines_of(const World& world, std::string_view what)
{
    std::vector<std::string> found;
    for (const std::string& line : world.log->lines)
        if (line.find(what) != std::string::npos)
            found.push_back(line);
    return found;
}

}  // namespace posthorn::send
