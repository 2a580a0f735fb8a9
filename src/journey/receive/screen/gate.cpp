#include "receive/screen/gate.hpp"

#include "base/strings.hpp"
#include "observe/asked.hpp"
#include "receive/core.hpp"
#include "receive/reject_text.hpp"
#include "receive/screen/refusal.hpp"
#include "receive/screen/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::receive::screen {

namespace {

/// What our EHLO reply offers a client that failed, who is told no limits. VRFY stands there by disable_vrfy_command, as there.
receive::Options told_to_failed(receive::Options options)
{
    options.recipient_limit = receive::Options::usual_recipient_limit;
    options.session_mail_limit = 0;
    return options;
}

}  // namespace

Gate::Gate(Server::Core& core, observe::Log log)
    : core_(core), told_to_failed_(told_to_failed(core.options)), log_(std::move(log)),
      replies_("postscreen_dnsbl_reply_map", core.options.screen.reply_map, tables::Flags{}, core.outside.tables),
      footers_("postscreen_reject_footer_maps", core.options.screen.footer_maps, tables::Flags{}, core.outside.tables),
      discards_("postscreen_discard_ehlo_keyword_address_maps", core.options.screen.discard_maps, tables::Flags{}, core.outside.tables),
      filter_("postscreen_command_filter", core.options.screen.command_filter, tables::Flags{}, core.outside.tables),
      interfaces_(tables::ListKind::hosts, "postscreen_allowlist_interfaces", core.options.screen.interfaces, false, core.outside.tables),
      forbidden_(tables::ListKind::strings, "postscreen_forbidden_commands", core.options.screen.forbidden, false, core.outside.tables),
      allowed_(core.options.screen.memory_limit, core.options.screen.retention), cleaned_(core.outside.clock.wall())
{
    for (const Options::Access& one : options().access)
        if (one.kind == Options::Access::Kind::table)
            access_.push_back(std::make_unique<tables::Maps>("postscreen_access_list", one.table, tables::Flags{}, core.outside.tables));
    for (const auto* list : {&interfaces_, &forbidden_})
        for (const std::string& problem : list->problems())
            log_.warning("{}: {}", list->parameter(), problem);
}

const Options& Gate::options() const { return core_.options.screen; }

// Under stress from nine tenths of the places until seven tenths.
const Options::Pace& Gate::pace()
{
    const bool stressed = visitors_ * 10 >= options().most * (stressed_ ? 7 : 9);
    if (stressed != stressed_)
        log_.info("{} STRESS mode with {} connections", stressed ? "entering" : "leaving", visitors_);
    stressed_ = stressed;
    return stressed_ || core_.stressed() ? options().stressed : options().calm;
}

awaitable<std::string> Gate::with_footer(std::string reply, net::Endpoint client)
{
    if ((!reply.starts_with('4') && !reply.starts_with('5')) || (footers_.empty() && options().footer.empty()))
        co_return reply;
    std::optional<std::string> own;
    if (!footers_.empty()) {
        auto found = co_await footers_.lookup(reply);
        if (found)
            own = *std::move(found);
        else
            log_.warning("{}: {} lookup error for \"{}\"", name_of(client), footers_.parameter(), printable(reply));
    }
    const std::string ip = client.is_unix() ? "127.0.0.1" : client.ip.text();
    auto made = receive::with_footer(reply, own ? *own : options().footer,
                                     {.client_address = ip,
                                      .server_name = core_.options.myhostname,
                                      .client_port = static_cast<std::uint16_t>(client.is_unix() ? 0 : client.port),
                                      .now = core_.outside.clock.wall()});
    if (!made)
        log_.warning("{}: {}: {}", name_of(client), own ? footers_.parameter() : "postscreen_reject_footer", made.error().text());
    co_return made ? *std::move(made) : reply;
}

void Gate::clean(WallTime now)
{
    if (options().cleanup.count() == 0 || now - cleaned_ < options().cleanup)
        return;
    cleaned_ = now;
    allowed_.cleanup(now);
}

awaitable<std::optional<Gate::Standing>> Gate::word_says(Options::Access::Kind kind, std::string address)
{
    using enum Options::Access::Kind;
    if (kind == permit)
        co_return Standing::permitted;
    if (kind == reject)
        co_return Standing::rejected;
    if (kind == permit_mynetworks) {
        const auto ours = co_await core_.outside.classes.in_mynetworks("unknown", std::move(address));
        if (ours && *ours)
            co_return Standing::permitted;
        if (!ours) {
            log_.warning("postscreen_access_list: {}: ignoring the remainder of this access list", ours.error().text());
            co_return Standing::unknown;
        }
    }
    co_return std::nullopt;
}

/// Whatever the list cannot say, it does not say: such a client is tested.
awaitable<Gate::Standing> Gate::standing(std::string address)
{
    auto table = access_.begin();
    for (const Options::Access& one : options().access) {
        if (one.kind != Options::Access::Kind::table) {
            if (const auto says = co_await word_says(one.kind, address))
                co_return *says;
            continue;
        }
        const tables::Maps& asked = **table++;
        const auto found = co_await asked.lookup(address);
        if (!found) {
            log_.warning("{}: table lookup error -- ignoring the remainder of this access list", one.table);
            co_return Standing::unknown;
        }
        const std::optional<std::string>& words = *found;
        if (!words)
            continue;
        for (const std::string_view word : split(*words, ", \t\r\n")) {
            const auto known = Options::access_word(word);
            if (!known) {
                log_.warning("{}: unknown command: {} -- ignoring the remainder of this access list", one.table, word);
                co_return Standing::unknown;
            }
            if (const auto says = co_await word_says(known->kind, address))
                co_return *says;
        }
    }
    co_return Standing::unknown;
}

void Gate::close()
{
    for (net::Stream* stream : waiting_)
        if (stream != nullptr)
            stream->expires_at(std::chrono::steady_clock::now());
}

/// One client at the gate.
class Visit {
public:
    Visit(Gate& gate, std::unique_ptr<net::Stream> stream)
        : gate_(gate), options_(gate.options()), arrival_(std::move(stream)), address_(arrival_.stream->peer()), here_(arrival_.stream->local()),
          lookups_(gate.core_.executor), rank_(std::make_shared<Ranking>(gate.core_.executor)), begin_(std::chrono::steady_clock::now())
    {
        ++gate_.visitors_;
    }
    Visit(Visit&&) = delete;
    ~Visit()
    {
        --gate_.visitors_;
        if (counted_)
            if (const auto count = gate_.by_address_.find(ip_); count != gate_.by_address_.end() && --count->second == 0)
                gate_.by_address_.erase(count);
    }

    awaitable<Arrival> run()
    {
        if (!options_.proxied || co_await hear_balancer()) {
            co_await examine();
            co_await lookups_.close();
        }
        co_return std::move(arrival_);
    }

private:
    /// What the lists have said so far, and who waits for the last of them.
    struct Ranking {
        explicit Ranking(const Executor& executor) : all_said(executor) {}
        Rank rank;
        std::size_t missing = 0;
        SteadyTime end{};                         // what comes later does not count
        bool good = false;                        // so good that nothing else is asked
        net::Stream* waiting = nullptr;           // whose wait ends where it is good
        Signal all_said;
    };

    std::string client() const { return name_of(address_); }
    WallTime now() const { return gate_.core_.outside.clock.wall(); }

    awaitable<bool> hear_balancer()
    {
        std::string heard;
        const auto deadline = std::chrono::steady_clock::now() + options_.proxy_timeout;
        for (;;) {
            const auto parsed = net::parse_proxy_header(heard);
            if (parsed.state == net::ProxyParsed::State::done) {
                arrival_.early = heard.substr(parsed.header.octets);
                arrival_.proxied = parsed.header;
                if (!parsed.header.local) {
                    address_ = net::Endpoint(parsed.header.client, parsed.header.client_port);
                    here_ = net::Endpoint(parsed.header.server, parsed.header.server_port);
                }
                co_return true;
            }
            std::array<char, net::proxy_header_limit> room{};
            arrival_.stream->expires_at(deadline);
            std::string problem(parsed.problem);
            if (parsed.state == net::ProxyParsed::State::more) {
                const auto got = co_await arrival_.stream->read_some(room);
                if (got && *got > 0) {
                    heard.append(room.data(), *got);
                    continue;
                }
                problem = got ? "lost connection" : got.error().what();
            }
            gate_.log_.warning("haproxy read: {}", problem);
            arrival_.stream.reset();
            co_return false;
        }
    }

    /// A last word; the client is gone after it.
    awaitable<void> drop(std::string reply, bool say_so = true)
    {
        reply = co_await gate_.with_footer(std::move(reply), address_) + "\r\n";
        arrival_.stream->expires_after(std::chrono::seconds{10});
        (void)co_await arrival_.stream->write(reply);
        arrival_.stream->close();
        arrival_.stream.reset();
        if (say_so)
            gate_.log_.info("DISCONNECT {}", client());
    }

    void hung_up()
    {
        gate_.log_.info("HANGUP after {} from {} in tests before SMTP handshake", time_since(begin_), client());
        gate_.log_.info("DISCONNECT {}", client());
        arrival_.stream.reset();
    }

    awaitable<bool> has_room()
    {
        counted_ = true;
        if (++gate_.by_address_[ip_] > options_.per_client && options_.per_client != 0) {
            gate_.log_.info("NOQUEUE: reject: CONNECT from {}: too many connections", client());
            constexpr std::string_view reply = "421 4.7.0 Error: too many connections";
            gate_.core_.note_rejection(
                handoff::Rejected{.command = "CONNECT", .reply = reply, .by = "screen", .client_address = ip_, .protocol = "SMTP"});
            co_await drop(std::string(reply));
            co_return false;
        }
        if (gate_.visitors_ > options_.most) {
            gate_.log_.info("reject: connect from {}: all screening ports busy", client());
            co_await drop("421 4.3.2 All screening ports are busy");
            co_return false;
        }
        co_return true;
    }

    /// What the test's parameter says of a client that failed. False: it is gone.
    awaitable<bool> fail(Act act, std::string_view code_for_drop, std::string_view code, std::string text)
    {
        if (act == Act::drop) {
            co_await drop(fmt::format("{} {}", code_for_drop, text));
            co_return false;
        }
        if (act == Act::enforce)
            refusal_ = fmt::format("{} {}", code, text);
        co_return true;
    }

    awaitable<void> examine()
    {
        ip_ = address_.is_unix() ? "127.0.0.1" : address_.ip.text();
        gate_.log_.info("CONNECT from {} to {}", client(), name_of(here_));
        if (!co_await has_room())
            co_return;
        gate_.clean(now());
        const auto standing = co_await gate_.standing(ip_);
        if (standing == Gate::Standing::permitted) {
            gate_.log_.info("{}LISTED {}", options_.respectful ? "ALLOW" : "WHITE", client());
            co_return;
        }
        if (standing == Gate::Standing::rejected) {
            gate_.log_.info("{}LISTED {}", options_.respectful ? "DENY" : "BLACK", client());
            if (!co_await fail(options_.denied, "521", "550", "5.3.2 Service currently unavailable"))
                co_return;
        }
        co_await find_tests();
        if (!test_greet_ && !test_lists_ && !tests_deep()) {
            if (known_)
                gate_.log_.info("PASS OLD {}", client());
        } else {
            const auto remembers = co_await gate_.interfaces_.ask({}, here_.is_unix() ? "127.0.0.1" : here_.ip.text());
            vetoed_ = !remembers || !*remembers;
            if (vetoed_)
                gate_.log_.info("{}LIST VETO {}", options_.respectful ? "ALLOW" : "WHITE", client());
            const auto place = gate_.waiting_.insert(gate_.waiting_.end(), arrival_.stream.get());
            const bool here = co_await test();
            gate_.waiting_.erase(place);
            if (!here)
                co_return;
        }
        failed_ = !refusal_.empty();
        if (rank_->good && !failed_)
            passed_deep_ = std::exchange(test_deep_, {});
        if (!failed_ && !vetoed_ && !tests_deep()) {
            conclude();
            co_return;
        }
        std::array<bool, deep_tests> watched = test_deep_;
        if (failed_ || vetoed_)
            watched.fill(true);                   // who is talked with anyway is watched for everything
        if (!failed_)
            refusal_ = "450 4.3.2 Service currently unavailable";
        Refusal talk(gate_, std::move(arrival_.stream), address_, std::move(arrival_.early), refusal_, watched);
        if (co_await talk.run(!spoke_early_ || options_.early != Act::enforce))
            passed_deep_ = std::exchange(test_deep_, {});
        failed_ = failed_ || talk.failed();
        conclude();
        gate_.log_.info("DISCONNECT {}", client());
    }

    bool tests_deep() const { return std::ranges::find(test_deep_, true) != test_deep_.end(); }

    /// Whom this process has not seen pass, another one may have.
    awaitable<void> find_tests()
    {
        if (refusal_.empty())
            known_ = gate_.allowed_.find(ip_, now());
        choose_tests();
        Remembered* const remembered = gate_.core_.outside.remembered;
        if (!refusal_.empty() || remembered == nullptr || (!test_greet_ && !test_lists_ && !tests_deep()))
            co_return;
        const auto told = co_await remembered->find(ip_);
        if (!told)
            co_return;
        known_ = known_ ? both(*known_, *told) : *told;
        gate_.allowed_.put(ip_, *known_, now());
        choose_tests();
    }

    // Tests that were passed lately are left out; where one is made, so are those that would have to be made soon.
    void choose_tests()
    {
        const Passed passed = known_.value_or(Passed{});
        const bool greet = !options_.teaser.empty(), lists = !options_.sites.empty();
        const auto choose = [&](WallTime when) {
            test_greet_ = greet && passed.greet <= when;
            test_lists_ = lists && passed.lists <= when;
            for (std::size_t test = 0; test < deep_tests; ++test)
                test_deep_[test] = options_.deep[test].enabled && passed.deep[test] <= when;
        };
        choose(now());
        if (test_greet_ || test_lists_ || tests_deep())
            choose(now() + std::min(options_.greet_life, options_.dns_most) / 2);
    }

    /// The tests side by side. False: the client is gone.
    awaitable<bool> test()
    {
        begin_ = std::chrono::steady_clock::now();
        const auto end = begin_ + gate_.pace().wait;
        if (test_lists_)
            ask_lists();
        if (test_greet_ && !co_await wait_for_client(end))
            co_return false;
        if (test_lists_) {
            if (!test_greet_ || spoke_early_) {
                while (rank_->missing > 0) {
                    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
                    if (left.count() <= 0 || !co_await rank_->all_said.wait_for(left))
                        break;
                }
            }
            if (!co_await judge_lists())
                co_return false;
        }
        co_return true;
    }

    /// Appends what is there to be read.
    net::Io::State take(std::string* said)
    {
        std::array<char, 4096> room{};
        const net::Io got = arrival_.stream->try_read(room);
        if (got.state == net::Io::State::done)
            said->append(room.data(), got.octets);
        return got.state;
    }

    awaitable<bool> wait_for_client(SteadyTime end)
    {
        net::Stream& stream = *arrival_.stream;
        stream.expires_at(end);
        const std::string teaser = fmt::format("220-{}\r\n", options_.teaser);
        if (!co_await stream.write(teaser)) {
            hung_up();
            co_return false;
        }
        std::string& said = arrival_.early;
        while (said.empty()) {
            rank_->waiting = &stream;             // no buffer is held while it waits
            const auto readable = rank_->good ? Result<void>(Error{"conversation timed out", "4.4.2"}) : co_await stream.wait_readable();
            rank_->waiting = nullptr;
            if (!readable && readable.error().what() == "conversation timed out") {
                passed_greet_ = true;
                co_return true;
            }
            const auto state = readable ? take(&said) : net::Io::State::failed;
            if (state == net::Io::State::end || state == net::Io::State::failed) {
                hung_up();
                co_return false;
            }
        }
        spoke_early_ = true;
        gate_.log_.info("PREGREET {} after {} from {}: {}", said.size(), time_since(begin_), client(), in_c_form(said));
        co_return co_await fail(options_.early, "521", "550", "5.5.1 Protocol error");
    }

    void ask_lists()
    {
        rank_->missing = options_.sites.size();
        rank_->end = begin_ + options_.dns_timeout;
        const net::IpAddress address = address_.is_unix() ? net::IpAddress::loopback() : address_.ip;
        for (const RankedDomain& domain : options_.sites)
            lookups_.spawn(ask(gate_, rank_, domain, domain.rules.front().list.query_for(address)));
    }

    static awaitable<void> ask(Gate& gate, std::shared_ptr<Ranking> ranking, const RankedDomain& domain, std::string query)
    {
        observe::Question question(observe::Helper::dns_list, domain.domain);
        const dns::Answer answer = co_await gate.core_.outside.names.records(query, dns::Type::a);
        question.ended(!answer.transient());
        if (co_await cancelled())
            co_return;
        if (answer.transient())
            gate.log_.warning("dnsblog_query: lookup error for DNS query {}: {}", query, dns::lookup_error(query, dns::Type::a, answer).text());
        if (std::chrono::steady_clock::now() > ranking->end)
            gate.log_.warning("dnsblog reply timeout {}s for {}", gate.options().dns_timeout.count(), domain.domain);
        else
            ranking->rank.add(domain, answer);
        if (--ranking->missing > 0)
            co_return;
        const Options& options = gate.options();
        ranking->good = options.good_threshold < 0 && ranking->rank.sum() <= options.good_threshold;
        if (ranking->good && ranking->waiting != nullptr)
            ranking->waiting->expires_at(std::chrono::steady_clock::now());
        ranking->all_said.notify_all();
    }

    awaitable<bool> judge_lists()
    {
        const Rank& rank = rank_->rank;
        if (rank.sum() < options_.threshold) {
            passed_lists_ = true;
            co_return true;
        }
        gate_.log_.info("DNSBL rank {} for {}", rank.sum(), client());
        std::string domain = rank.heaviest();
        if (!gate_.replies_.empty()) {
            const auto found = co_await gate_.replies_.lookup(domain);
            if (!found)
                gate_.log_.warning("postscreen_dnsbl_reply_map: {}", found.error().text());
            else if (const std::optional<std::string>& text = *found; text)
                domain = *text;
        }
        co_return co_await fail(options_.listed, "521", "550", fmt::format("5.7.1 Service unavailable; client [{}] blocked using {}", ip_, domain));
    }

    /// What was passed counts from now on, unless something was not.
    void conclude()
    {
        const bool deep = std::ranges::find(passed_deep_, true) != passed_deep_.end();
        if (failed_ || vetoed_ || (!passed_greet_ && !passed_lists_ && !deep))
            return;
        Passed passed = gate_.allowed_.find(ip_, now()).value_or(Passed{});
        if (passed_greet_ == test_greet_ && passed_lists_ == test_lists_ && !tests_deep())
            gate_.log_.info("PASS {} {}", is_first(passed) ? "NEW" : "OLD", client());
        if (passed_lists_)
            passed.lists = now() + rank_->rank.life(options_.dns_least, options_.dns_most);
        if (passed_greet_)
            passed.greet = std::max(now() + options_.greet_life, rank_->good ? passed.lists : WallTime{});
        for (std::size_t test = 0; test < deep_tests; ++test)
            if (passed_deep_[test])
                passed.deep[test] = rank_->good ? std::max(passed.deep[test], passed.lists) : now() + options_.deep[test].life;
        gate_.allowed_.put(ip_, passed, now());
        if (Remembered* const remembered = gate_.core_.outside.remembered; remembered != nullptr)
            remembered->tell(ip_, passed);
    }

    /// It has never passed one of these tests before.
    bool is_first(const Passed& before) const
    {
        bool first = (passed_greet_ && before.greet == WallTime{}) || (passed_lists_ && before.lists == WallTime{});
        for (std::size_t test = 0; test < deep_tests; ++test)
            first = first || (passed_deep_[test] && before.deep[test] == WallTime{});
        return first;
    }

    Gate& gate_;
    const Options& options_;
    Arrival arrival_;
    net::Endpoint address_, here_;
    std::string ip_;
    TaskGroup lookups_;
    std::shared_ptr<Ranking> rank_;
    SteadyTime begin_;
    std::optional<Passed> known_;
    std::string refusal_;                         // what every recipient is answered with; empty: the client has failed in nothing that counts
    bool counted_ = false, vetoed_ = false, failed_ = false;
    std::array<bool, deep_tests> test_deep_{}, passed_deep_{};
    bool test_greet_ = false, test_lists_ = false, passed_greet_ = false, passed_lists_ = false, spoke_early_ = false;
};

awaitable<Arrival> Gate::admit(std::unique_ptr<net::Stream> stream)
{
    const auto visit = std::make_unique<Visit>(*this, std::move(stream));
    co_return co_await visit->run();
}

}  // namespace posthorn::receive::screen
