// posthorn-round-trips [--write PAGE | --check PAGE] [WORD]: the round trips of deliveries and probes, counted and timed.
// Every row is done by the real agent over TCP, against a peer of sim/ behind a line of a known round trip: the peer counts its turns,
// the clock says how many round trips passed until the result was known. A row whose time says otherwise is done again on a longer
// line, since a loaded machine adds to the time. Prints the table; --write puts it between the marks of the page, --check says where the
// page differs (exit 1). WORD: only rows whose section has it, for a look.
#include "rows.hpp"

#include "base/strings.hpp"
#include "delay_line.hpp"
#include "peers/book.hpp"
#include "send/agent.hpp"
#include "send/wire_tls.hpp"
#include "sim/engine.hpp"
#include "sim/tls_server.hpp"

#include <boost/asio/io_context.hpp>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <iterator>

using namespace posthorn;
using namespace posthorn::round_trips;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view begin_mark = "<!-- round trips: written by posthorn-round-trips -->\n";
constexpr std::string_view end_mark = "<!-- end -->\n";
constexpr auto first_line = 100ms, longest_line = 1600ms;

struct Outcome {
    unsigned counted = 0;
    double trips = 0;                       // wall time
    std::string trouble;

    bool agrees() const { return static_cast<unsigned>(std::floor(trips)) == counted; }
};

/// Nothing is asked: hosts are addresses.
class NoNames final : public send::Names {
public:
    awaitable<dns::Answer> mx(std::string) override { co_return dns::Answer{}; }
    awaitable<dns::Addresses> addresses(std::string, dns::Families) override { co_return dns::Addresses{}; }
    awaitable<dns::Answer> query(std::string, dns::Type) override { co_return dns::Answer{}; }
};

handoff::DeliveryRequest request_of(const Row& row, unsigned number, const net::Endpoint& at)
{
    handoff::DeliveryRequest made;
    made.set_attempt(number);
    made.set_message(number);
    made.set_connections(1);
    made.set_probe(row.work == Work::probe);
    made.mutable_route()->set_transport("smtp");
    made.mutable_route()->set_nexthop("[127.0.0.1]:" + std::to_string(at.port));
    made.mutable_route()->set_site("smtp:peer.test");
    handoff::Envelope& envelope = *made.mutable_envelope();
    envelope.set_queue_id("4gDq8v1Yc0z3D");
    envelope.set_sender("sender@client.test");
    for (unsigned i = 0; i < row.recipients; ++i) {
        handoff::Recipient& to = *envelope.add_recipients();
        to.set_index(i);
        to.set_address(fmt::format("user{}@peer.test", i));
    }
    if (row.work == Work::mail)
        made.mutable_content()->set_inline_octets("Subject: one\r\n\r\nhello\r\n");
    return made;
}

/// One row, in a world of its own.
class Measurement {
public:
    Measurement(const Row& row, std::chrono::milliseconds round_trip, Executor executor)
        : row_(row), round_trip_(round_trip), executor_(executor), peer_(script_of(row), settings(row)),
          target_(executor, listening(), [this](std::unique_ptr<net::Stream> stream) { return peer_.play(std::move(stream)); }),
          line_(executor, listening(), target_.endpoint(), round_trip), book_(clock_, {}, rules(row))
    {
        if (row.tls == Tls::none)
            return;
        send::WireTls::Settings wanted;
        wanted.resume = row.resumed;
        if (row.tls_1_2)
            wanted.opportunistic.protocols = wanted.mandatory.protocols = ">=TLSv1.2, <=TLSv1.2";
        auto made = send::WireTls::make(std::move(wanted), clock_);
        if (!made)
            throw std::runtime_error(made.error().text());
        tls_ = *std::move(made);
    }

    awaitable<void> run(Outcome* outcome)
    {
        target_.start();
        line_.start();
        send::Options options;
        options.tls_level = row_.tls == Tls::none ? send::TlsLevel::none : send::TlsLevel::may;
        options.tls_wrapper = row_.tls == Tls::wrapper || row_.tls == Tls::wrapper_with_greeting;
        options.keep_idle = 60s;
        options.keep_sessions = !row_.early;
        send::Surroundings around(executor_, clock_, observe::Log(log_, "postfix/smtp"), names_);
        around.peers = &book_;
        around.tls = tls_.get();
        send::Agent agent(std::move(options), std::move(around));
        if (row_.warm || row_.resumed)
            co_await deliver(&agent, 0, outcome);
        if (row_.resumed)
            agent.forget_sessions();
        for (unsigned i = 0; row_.early && i < 3; ++i)
            co_await deliver(&agent, i, outcome);
        for (int turns = 0; row_.early && turns < 1000 && book_.early("127.0.0.1") == peers::Early{}; ++turns)
            co_await sleep_for(10ms);           // the goodbyes are nobody's wait; what was seen is told behind them
        // One that says one command at a time takes back what it asked while nobody waits, and may ask the next MAIL.
        const bool tidies = row_.warm && !row_.pipelining && row_.work == Work::probe;
        for (int turns = 0; tidies && turns < 1000 && !has_said_last("RSET"); ++turns)
            co_await sleep_for(10ms);
        if (row_.parked) {
            co_await deliver(&agent, 0, outcome);
            for (int turns = 0; turns < 1000 && !has_said_last("MAIL"); ++turns)
                co_await sleep_for(10ms);
        }
        if (tidies)
            co_await sleep_for(round_trip_);    // and its answer is on the way
        const std::size_t sessions = peer_.sessions().size();
        const std::size_t from = row_.warm ? 0 : sessions;
        const unsigned before = trips(from);
        const SteadyTime begun = std::chrono::steady_clock::now();
        TaskGroup tasks(executor_);
        for (unsigned i = 1; i <= row_.requests; ++i)
            tasks.spawn(deliver(&agent, i, outcome));
        co_await tasks.drained();
        const auto passed = std::chrono::steady_clock::now() - begun;
        outcome->trips = std::chrono::duration<double>(passed) / std::chrono::duration<double>(round_trip_);
        outcome->counted = trips(from) - before;
        if (peer_.sessions().size() - sessions != (row_.warm ? 0U : 1U))
            outcome->trouble = fmt::format("{} sessions", peer_.sessions().size() - sessions);
        for (const std::string& fault : peer_.faults())
            outcome->trouble = fault;
        agent.forget_sessions();
        co_await agent.drain();
        co_await line_.close();
        co_await target_.close();
    }

private:
    static Fd listening()
    {
        auto made = net::listen({net::IpAddress::loopback(), 0});
        if (!made)
            throw std::runtime_error(made.error().text());
        return *std::move(made);
    }
    static sim::Settings settings(const Row& row)
    {
        sim::Settings made;
        if (row.tls != Tls::none)
            made.tls = sim::tls_server("peer.test");
        return made;
    }
    static std::shared_ptr<const peers::Rules> rules(const Row& row)
    {
        auto made = std::make_shared<peers::Rules>();
        if (row.discards)
            if (auto added = made->add("/^220 peer/ bdat-first\n", "rules"); !added)
                throw std::runtime_error(added.error().text());
        return made;
    }

    awaitable<void> deliver(send::Agent* agent, unsigned number, Outcome* outcome)
    {
        const auto verdicts = co_await agent->deliver(request_of(row_, number, line_.endpoint()));
        for (const auto& verdict : verdicts.verdicts())
            if (verdict.outcome() != handoff::OUTCOME_DELIVERED)
                outcome->trouble = verdict.text();
    }

    bool has_said_last(std::string_view verb) const
    {
        const auto said = peer_.sessions().empty() ? std::vector<std::string>() : peer_.sessions().back().said();
        return !said.empty() && said.back().starts_with(verb);
    }

    /// What the peer saw so far in its sessions from this one on, in round trips.
    unsigned trips(std::size_t first) const
    {
        unsigned trips = 0;
        for (std::size_t i = first; i < peer_.sessions().size(); ++i) {
            const sim::Session& session = peer_.sessions()[i];
            const bool resumed = row_.resumed && i > 0;
            // The greeting of an early session is nobody's wait: that this is so the clock has to tell.
            trips += (row_.early && i >= first ? 0 : 1) + session.turns + session.handshakes * (row_.tls_1_2 && !resumed ? 2 : 1);
        }
        return trips;
    }

    const Row& row_;
    std::chrono::milliseconds round_trip_;
    Executor executor_;
    SystemClock clock_;
    NoNames names_;
    std::shared_ptr<observe::MemorySink> log_ = std::make_shared<observe::MemorySink>();
    sim::Peer peer_;
    net::Listener target_;
    tools::DelayLine line_;
    peers::Book book_;
    std::unique_ptr<send::WireTls> tls_;
};

/// All at once: each waits nearly all of its time.
void measure(const std::vector<const Row*>& rows, std::chrono::milliseconds round_trip, const std::vector<Outcome*>& outcomes)
{
    asio::io_context loop(1);
    std::vector<std::unique_ptr<Measurement>> all;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        *outcomes[i] = {};
        all.push_back(std::make_unique<Measurement>(*rows[i], round_trip, loop.get_executor()));
        asio::co_spawn(loop, all.back()->run(outcomes[i]), [](std::exception_ptr failure) {
            if (failure)
                std::rethrow_exception(failure);
        });
    }
    loop.run();
}

std::vector<Outcome> measure(const std::vector<Row>& rows)
{
    std::vector<Outcome> outcomes(rows.size());
    for (auto line = first_line; line <= longest_line; line *= 2) {
        std::vector<const Row*> open;
        std::vector<Outcome*> places;
        for (std::size_t i = 0; i < rows.size(); ++i)
            if (!outcomes[i].agrees() || outcomes[i].counted == 0) {
                open.push_back(&rows[i]);
                places.push_back(&outcomes[i]);
            }
        measure(open, line, places);
    }
    return outcomes;
}

std::string table_of(const std::vector<Row>& rows, const std::vector<Outcome>& outcomes)
{
    std::string text, section;
    std::vector<std::string> remarks;
    text += "| row | floor | ours, counted by the peer | wall time in RTT |\n|---|---|---|---|\n";
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const Row& row = rows[i];
        if (row.section != section)
            text += fmt::format("| **{}** | | | |\n", row.section);
        section = row.section;
        std::string note;
        if (!row.remark.empty()) {
            auto at = std::ranges::find(remarks, row.remark);
            if (at == remarks.end())
                at = remarks.insert(at, row.remark);
            note = fmt::format(" ({})", at - remarks.begin() + 1);
        }
        text += fmt::format("| {} | {} | {}{} | {:.0f} |\n", row.what, row.floor_text, outcomes[i].counted, note, std::floor(outcomes[i].trips));
    }
    text += '\n';
    for (std::size_t i = 0; i < remarks.size(); ++i)
        text += fmt::format("({}) {}.\n", i + 1, remarks[i]);
    return text;
}

/// Nothing of a row may be wrong: results, the number of sessions, the time, and the floor where nothing explains more.
bool is_sound(const Row& row, const Outcome& outcome)
{
    const auto complain = [&](std::string_view what) {
        fmt::print(stderr, "round trips: {}: {}: {}\n", row.section, row.what, what);
        return false;
    };
    if (!outcome.trouble.empty())
        return complain(outcome.trouble);
    if (!outcome.agrees())
        return complain(fmt::format("counted {}, but the time was {:.2f} RTT", outcome.counted, outcome.trips));
    if (outcome.counted < row.floor)
        return complain(fmt::format("counted {}, below the floor of {}", outcome.counted, row.floor));
    if (outcome.counted > row.floor && row.remark.empty())
        return complain(fmt::format("counted {}, the floor is {}, and nothing says why", outcome.counted, row.floor));
    return true;
}

std::string read_file(const char* path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

int put(const char* path, const std::string& table, bool write)
{
    const std::string page = read_file(path);
    const auto begin = page.find(begin_mark), end = page.find(end_mark);
    if (begin == page.npos || end == page.npos || end < begin) {
        fmt::print(stderr, "round trips: {} has no place for the table\n", path);
        return 1;
    }
    const std::string made = page.substr(0, begin + begin_mark.size()) + table + page.substr(end);
    if (made == page)
        return 0;
    if (write)
        return std::ofstream(path, std::ios::binary | std::ios::trunc) << made ? 0 : 1;
    const auto [old_end, new_end] = std::ranges::mismatch(page, made);
    const auto line_at = [](const std::string& text, std::string::const_iterator at) {
        const auto from = text.rfind('\n', static_cast<std::size_t>(at - text.begin()) - 1) + 1;
        return text.substr(from, text.find('\n', from) - from);
    };
    fmt::print(stderr, "round trips: {} differs from what was counted; write it with: posthorn-round-trips --write {}\npage:    {}\ncounted: {}\n",
               path, path, line_at(page, old_end), line_at(made, new_end));
    return 1;
}

}  // namespace

int main(int count, char** words)
{
    const char* page = nullptr;
    bool write = false;
    std::string_view only;
    for (int i = 1; i < count; ++i) {
        const std::string_view word = words[i];
        if ((word == "--write" || word == "--check") && i + 1 < count) {
            write = word == "--write";
            page = words[++i];
        } else if (word.starts_with('-') || !only.empty()) {
            fmt::print(stderr, "usage: posthorn-round-trips [--write PAGE | --check PAGE] [WORD]\n");
            return 64;
        } else
            only = word;
    }
    std::vector<Row> all = rows();
    if (!only.empty())
        std::erase_if(all, [&](const Row& row) { return row.section.find(only) == std::string::npos; });
    const std::vector<Outcome> outcomes = measure(all);
    bool sound = true;
    for (std::size_t i = 0; i < all.size(); ++i)
        sound = is_sound(all[i], outcomes[i]) && sound;
    const std::string table = table_of(all, outcomes);
    if (!page || !sound)
        fmt::print("{}", table);
    if (!sound)
        return 1;
    return page && only.empty() ? put(page, table, write) : 0;
}
