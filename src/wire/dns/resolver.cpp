#include "dns/resolver.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "dns/hosts.hpp"
#include "dns/system_servers.hpp"
#include "observe/asked.hpp"

#include <boost/asio/posix/stream_descriptor.hpp>

#include <fmt/format.h>
#include <unbound.h>

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <unordered_map>
#include <vector>

namespace posthorn::dns {

namespace {

/// The root's keys, 2017 and 2024 (data.iana.org/root-anchors).
constexpr std::string_view root_anchors[] = {". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
                                             ". IN DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16"};

/// Names the library would answer by itself. Private networks have reverse zones, and .test is what tests are made of. Of localhost, what the DNS
/// says decides whether it is a domain of mail; its addresses nobody is asked for (addresses()).
constexpr std::string_view no_built_in[] = {"test.",
                                            "localhost.",
                                            "home.arpa.",
                                            "2.0.192.in-addr.arpa.",
                                            "100.51.198.in-addr.arpa.",
                                            "113.0.203.in-addr.arpa.",
                                            "8.b.d.0.1.0.0.2.ip6.arpa.",
                                            "127.in-addr.arpa."};

struct Delete {
    void operator()(ub_ctx* context) const { ub_ctx_delete(context); }
    void operator()(ub_result* result) const { ub_resolve_free(result); }
};
using Context = std::unique_ptr<ub_ctx, Delete>;
using RawResult = std::unique_ptr<ub_result, Delete>;

void must(int code, std::string_view what)
{
    if (code != 0)
        throw std::runtime_error(fmt::format("DNS resolver: {}: {}", what, ub_strerror(code)));
}

std::string forward_to(const net::Endpoint& server) { return fmt::format("{}@{}", server.ip.text(), server.port ? server.port : 53); }

/// The library begins with two pairs of sockets, and where it cannot have them it does not give back all of its memory: so they are tried first.
void must_have_sockets()
{
    std::vector<Fd> ends;
    for (int pairs = 0; pairs < 2; ++pairs) {
        int pair[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
            throw std::runtime_error(fmt::format("DNS resolver: {}", errno_text(errno)));
        ends.emplace_back(pair[0]);
        ends.emplace_back(pair[1]);
    }
}

/// Read and judged, without a thread: that begins with the first question, and in a service after it was confined.
Context make_context(const Options& options, const std::vector<std::string>& system_servers)
{
    must_have_sockets();
    Context context(ub_ctx_create());
    if (!context)
        throw std::runtime_error("DNS resolver: cannot be set up");
    const auto set = [&](const char* option, const char* value) { must(ub_ctx_set_option(context.get(), option, value), option); };
    set("do-not-query-localhost:", "no");
    set("unblock-lan-zones:", "yes");
    for (const std::string_view zone : no_built_in)                   // ("nodefault" is not heeded when set this way)
        set("local-zone:", fmt::format("{} transparent", zone).c_str());
    set("module-config:", options.dnssec ? "validator iterator" : "iterator");
    // Thousands of sessions ask at once; the library's defaults are for one program with one question.
    set("num-queries-per-thread:", "4096");
    set("outgoing-range:", "512");
    set("outgoing-num-tcp:", "32");
    set("infra-keep-probing:", "yes");                                // a forwarder that was down is asked again at once
    set("infra-host-ttl:", "60");
    if (options.dnssec) {
        if (options.trust_anchors.empty())
            for (const std::string_view anchor : root_anchors)
                must(ub_ctx_add_ta(context.get(), std::string(anchor).c_str()), "trust anchor");
        for (const std::string& anchor : options.trust_anchors)
            must(ub_ctx_add_ta(context.get(), anchor.c_str()), "trust anchor " + anchor);
    }
    for (const net::Endpoint& server : options.servers)
        must(ub_ctx_set_fwd(context.get(), forward_to(server).c_str()), "server " + server.text());
    for (const std::string& server : system_servers)
        (void)ub_ctx_set_fwd(context.get(), server.c_str());
    must(ub_ctx_async(context.get(), 1), "thread");
    // The library reads its settings with the first question, or when its zones are changed: they are to fail now rather than in the middle of a
    // session. A zone that it does not have is none to remove.
    must(ub_ctx_zone_remove(context.get(), "posthorn.invalid."), options.dnssec ? "set-up or trust anchor" : "set-up");
    return context;
}

/// Names below "invalid" are answered without the network (RFC 6761 6.4).
void begin_thread(ub_ctx* context)
{
    must(ub_resolve_async(
             context, "posthorn.invalid", 1, 1, nullptr, [](void*, int, ub_result* raw) { const RawResult unused(raw); }, nullptr),
         "thread");
}

/// How long nobody asks again whether the name servers pass signatures on.
constexpr std::chrono::minutes unsigned_again{10};

Answer made(Status status, std::string reason)
{
    Answer answer;
    answer.status = status;
    answer.reason = std::move(reason);
    return answer;
}

std::string without_dot(std::string name)
{
    if (name.ends_with('.'))
        name.pop_back();
    return to_lower(name);
}

Answer to_answer(Type type, const ub_result& result, std::size_t record_limit)
{
    Answer answer;
    answer.secure = result.secure != 0;
    answer.ttl = std::chrono::seconds(std::max(result.ttl, 0));
    answer.canonical_name = without_dot(result.canonname ? result.canonname : result.qname);
    if (result.bogus)
        return made(Status::bogus, result.why_bogus ? result.why_bogus : "DNSSEC validation failure");
    if (result.havedata) {
        for (int i = 0; result.data[i] && answer.records.size() < record_limit; ++i)
            if (auto record = parse_rdata(type, {result.data[i], static_cast<std::size_t>(result.len[i])}))
                answer.records.push_back(*std::move(record));
        if (answer.records.empty())
            return made(Status::temporary, "malformed records");
        answer.status = Status::found;
        return answer;
    }
    if (result.nxdomain || result.rcode == 3)
        answer.status = Status::nxdomain;
    else if (result.rcode == 0)
        answer.status = Status::nodata;
    else
        return made(Status::temporary, result.rcode == 2 ? "SERVFAIL" : fmt::format("response code {}", result.rcode));
    return answer;
}

}  // namespace

Result<net::Endpoint> parse_server(std::string_view text)
{
    std::string_view host = text;
    std::uint16_t port = 53;
    auto mark = text.rfind('@');
    if (mark == text.npos && text.starts_with('[') && text.find("]:") != text.npos)
        mark = text.rfind(':');
    if (mark != text.npos) {
        const auto number = parse_number(text.substr(mark + 1));
        if (!number || *number == 0 || *number > 65535)
            return Error{fmt::format("bad DNS server \"{}\": bad port", text)};
        port = static_cast<std::uint16_t>(*number);
        host = text.substr(0, mark);
    }
    const auto address = net::IpAddress::parse(host);
    if (!address)
        return Error{fmt::format("bad DNS server \"{}\": need an address, address@port or [address]:port", text)};
    return net::Endpoint(*address, port);
}

struct Resolver::Core {
    /// One lookup, whoever waits for it.
    struct Flight {
        Flight(Core& owner, std::string flight_key, Type asked)
            : core(owner), key(std::move(flight_key)), type(asked), done(owner.executor), limit(owner.executor)
        {
        }
        Core& core;
        std::shared_ptr<bool> living = core.alive;                    // whether the core is still there
        std::string key;
        Type type;
        Signal done;
        asio::steady_timer limit;
        int id = 0;
        std::shared_ptr<const Answer> answer;
        std::optional<observe::Question> question;                    // once it is on its way
    };

    Core(Executor on, const Clock& time, Options with)
        : executor(on), clock(time), options(std::move(with)), cache(time, options.cache), hosts(time, options.hosts_file), context(fresh_context()),
          descriptor(on, ub_fd(context.get()))
    {
    }

    ~Core()
    {
        for (auto& [key, flight] : std::exchange(flights, {}))
            conclude(*flight, std::make_shared<const Answer>(made(Status::temporary, "the resolver is closing")));
        *alive = false;
        (void)descriptor.release();                                   // the library's own
    }

    Context fresh_context()
    {
        if (!options.servers.empty())
            return make_context(options, {});
        if (!system_servers)
            system_servers.emplace(clock, options.servers_file);
        return make_context(options, system_servers->list());
    }

    std::chrono::microseconds ahead() const
    {
        return clock.wall().time_since_epoch() - std::chrono::duration_cast<std::chrono::microseconds>(clock.steady().time_since_epoch());
    }

    void renew_where_needed()
    {
        // How far the time of day is ahead of the steady clock falls when it is set back.
        const std::chrono::microseconds now_ahead = ahead();
        const bool set_back = now_ahead < std::exchange(ahead_of_steady, now_ahead) - std::chrono::seconds(2);
        const bool others = system_servers && system_servers->refresh();
        outdated = outdated || set_back || others;
        if (!outdated)
            return;
        Context fresh;
        try {
            fresh = fresh_context();
            begin_thread(fresh.get());
        } catch (const std::runtime_error&) {
            return;                                                   // no descriptor, no thread: what there is serves until the next question
        }
        outdated = false;
        validated = false;                                            // others may know less
        unsigned_until = {};
        // What the old one has under way goes without a word.
        descriptor.cancel();
        (void)descriptor.release();
        context = std::move(fresh);
        descriptor.assign(ub_fd(context.get()));
        cache.clear();                                                // what other servers said of names may be another network's
        for (auto& [key, flight] : flights)
            if (const int code = ask(*flight))
                asio::post(executor, [flight, code] {
                    if (!flight->answer)
                        flight->core.finish(*flight, std::make_shared<const Answer>(made(Status::temporary, ub_strerror(code))));
                });
    }

    int ask(Flight& flight)
    {
        const std::string name = flight.key.substr(0, flight.key.rfind('/'));
        return ub_resolve_async(context.get(), name.empty() ? "." : name.c_str(), static_cast<int>(flight.type), 1, &flight, &Core::answered,
                                &flight.id);
    }

    std::shared_ptr<Flight> begin(const std::string& name, Type type)
    {
        ++counts.questions;
        renew_where_needed();
        std::string bare = without_dot(name);
        auto flight = std::make_shared<Flight>(*this, bare + '/' + std::string(type_name(type)), type);
        if (!is_queryable(bare) && !(bare.empty() && type == Type::dnskey)) {       // the root's keys are asked for, by ourselves
            flight->answer = std::make_shared<const Answer>(made(Status::nxdomain, "not a domain name"));
            return flight;
        }
        if (auto known = cache.find(flight->key)) {
            ++counts.from_cache;
            flight->answer = std::move(known);
            return flight;
        }
        if (const auto flying = flights.find(flight->key); flying != flights.end()) {
            ++counts.shared;
            return flying->second;
        }
        ++counts.asked;
        if (const int code = ask(*flight)) {
            flight->answer = std::make_shared<const Answer>(made(Status::temporary, ub_strerror(code)));
            return flight;
        }
        flight->question.emplace(observe::Helper::dns, "resolver");
        flights.emplace(flight->key, flight);
        flight->limit.expires_after(options.limit);
        flight->limit.async_wait([this, living = alive, weak = std::weak_ptr(flight)](boost::system::error_code error) {
            const auto late = weak.lock();
            if (error || !*living || !late || late->answer)
                return;
            ub_cancel(context.get(), late->id);
            finish(*late, std::make_shared<const Answer>(made(Status::temporary, "no answer in time")));
        });
        watch();
        return flight;
    }

    static void answered(void* data, int code, ub_result* raw)
    {
        const RawResult result(raw);
        Flight& flight = *static_cast<Flight*>(data);
        Core& core = flight.core;
        core.finish(flight, std::make_shared<const Answer>(code != 0 || !result ? made(Status::temporary, ub_strerror(code))
                                                                                : to_answer(flight.type, *result, core.options.record_limit)));
    }

    void finish(Flight& flight, std::shared_ptr<const Answer> answer)
    {
        const auto held = flights.extract(flight.key);
        if (answer->transient())
            ++counts.temporary;
        cache.keep(flight.key, answer);
        conclude(flight, std::move(answer));
        if (flights.empty())
            descriptor.cancel();
    }

    static void conclude(Flight& flight, std::shared_ptr<const Answer> answer)
    {
        flight.answer = std::move(answer);
        if (flight.question)
            flight.question->ended(!flight.answer->transient());
        flight.limit.cancel();
        flight.done.notify_all();
    }

    /// Only while questions are under way, so that an idle loop may end.
    void watch()
    {
        if (watching || flights.empty())
            return;
        watching = true;
        descriptor.async_wait(asio::posix::descriptor_base::wait_read, [this, living = alive](boost::system::error_code error) {
            if (!*living)
                return;
            watching = false;
            if (!error)
                ub_process(context.get());
            watch();
        });
    }

    Executor executor;
    const Clock& clock;
    std::chrono::microseconds ahead_of_steady{ahead()};
    Options options;
    Cache cache;
    Hosts hosts;
    std::optional<SystemServers> system_servers;                      // where options name none
    std::unordered_map<std::string, std::shared_ptr<Flight>> flights;
    Context context;
    bool outdated = false;                                            // the context: it is to be made anew
    asio::posix::stream_descriptor descriptor;
    std::shared_ptr<bool> alive = std::make_shared<bool>(true);
    bool watching = false;
    Counts counts;
    std::unique_ptr<Core> plain_;                                     // made when it is needed
    bool validated = false;                                           // something was, with these name servers
    SteadyTime unsigned_until{};                                      // that they pass no signatures on is known; not set: it never was

    /// The same without validation, for what nobody signs here.
    Core& plain()
    {
        if (!plain_) {
            Options less = options;
            less.dnssec = false;
            plain_ = std::make_unique<Core>(executor, clock, std::move(less));
        }
        return *plain_;
    }

    void remark(std::string text) const
    {
        if (options.remark)
            options.remark(std::move(text));
    }

    static awaitable<std::shared_ptr<const Answer>> landing(std::shared_ptr<Flight> flight)
    {
        auto answer = co_await arrived(flight);
        if (!*flight->living)
            co_return answer;
        flight->core.validated |= answer->secure;
        if (answer->status != Status::bogus || flight->core.validated)
            co_return answer;
        if (auto taken = co_await unsigned_answer(flight))
            co_return taken;
        co_return answer;
    }

    /// Of name servers that pass no signatures on; null: they do, or nobody can tell.
    static awaitable<std::shared_ptr<const Answer>> unsigned_answer(std::shared_ptr<Flight> flight)
    {
        Core& core = flight->core;
        if (core.clock.steady() >= core.unsigned_until) {
            const std::string anchor = core.options.trust_anchors.empty() ? "." : core.options.trust_anchors.front();
            const std::string zone = anchor.substr(0, anchor.find_first_of(" \t"));
            const auto keys = co_await arrived(core.begin(zone, Type::dnskey));
            if (!*flight->living)
                co_return nullptr;
            core.validated |= keys->secure;
            if (keys->status != Status::bogus) {
                if (keys->secure && std::exchange(core.unsigned_until, SteadyTime{}) != SteadyTime{})
                    core.remark("DNSSEC validation is available again");
                co_return nullptr;
            }
            const auto shown = co_await arrived(core.plain().begin(zone, Type::dnskey));
            if (!*flight->living || shown->transient())
                co_return nullptr;
            if (core.unsigned_until == SteadyTime{})
                core.remark(fmt::format("DNSSEC validation is unavailable: the name servers pass no signatures on (DNSKEY of \"{}\"); "
                                        "answers are taken as those of unsigned zones, and DANE protects nothing",
                                        zone));
            core.unsigned_until = core.clock.steady() + unsigned_again;
        }
        co_return co_await arrived(core.plain().begin(flight->key.substr(0, flight->key.rfind('/')), flight->type));
    }

    static awaitable<std::shared_ptr<const Answer>> arrived(std::shared_ptr<Flight> flight)
    {
        while (!flight->answer) {
            co_await flight->done.wait();
            if (!flight->answer && co_await cancelled())
                co_return std::make_shared<const Answer>(made(Status::temporary, "canceled"));
        }
        co_return flight->answer;
    }

    Addresses native_addresses(const std::string& host, Families families)
    {
        Addresses found;
        found.status = Status::nxdomain;
        found.native = true;
        for (const net::IpAddress& address : hosts.addresses(host)) {
            found.status = found.list.empty() ? Status::nodata : found.status;
            if (families == Families::both || address.is_v6() == (families == Families::v6))
                found.list.push_back(address);
        }
        if (!found.list.empty())
            found.status = Status::found;
        found.canonical_name = without_dot(host);
        return found;
    }

    /// Whatever the DNS says of localhost: RFC 6761 6.3.
    static Addresses loopback(Families families)
    {
        Addresses found;
        found.status = Status::found;
        found.canonical_name = "localhost";
        for (const auto& [family, text] : {std::pair{Families::v4, "127.0.0.1"}, std::pair{Families::v6, "::1"}})
            if (const auto address = net::IpAddress::parse(text); address && (families == Families::both || families == family))
                found.list.push_back(*address);
        return found;
    }

    awaitable<Addresses> dns_addresses(std::string host, Families families)
    {
        if (without_dot(host) == "localhost")
            co_return loopback(families);
        // Both leave before either is waited for.
        std::shared_ptr<Flight> flying[2];
        if (families != Families::v6)
            flying[0] = begin(host, Type::a);
        if (families != Families::v4)
            flying[1] = begin(host, Type::aaaa);
        Addresses all;
        all.status = Status::nxdomain;
        bool all_secure = true, found_secure = true;
        for (auto& flight : flying) {
            if (!flight)
                continue;
            const auto answer = co_await landing(std::move(flight));
            for (const Record& record : answer->records)
                all.list.push_back(record.address);
            if (answer->found())
                all.ttl = all.ttl.count() == 0 ? answer->ttl : std::min(all.ttl, answer->ttl);
            // Who drops the answer of one family must not make an insecure host of the other's.
            all_secure &= answer->secure;
            found_secure &= answer->secure || !answer->found();
            if (answer->found() || all.canonical_name.empty())
                all.canonical_name = answer->canonical_name;
            if (!answer->reason.empty())
                all.reason = answer->reason;
            // Best news first: found, then what may still be found, then that the name exists.
            const auto rank = [](Status status) {
                switch (status) {
                case Status::found: return 4;
                case Status::bogus: return 3;
                case Status::temporary: return 2;
                case Status::nodata: return 1;
                case Status::nxdomain: return 0;
                }
                return 0;
            };
            if (rank(answer->status) > rank(all.status))
                all.status = answer->status;
        }
        all.secure = all.list.empty() ? all_secure : found_secure;
        co_return all;
    }
};

Resolver::Resolver(Executor executor, const Clock& clock, Options options)
    : core_(std::make_unique<Core>(std::move(executor), clock, std::move(options)))
{
}

Resolver::~Resolver() = default;

awaitable<Answer> Resolver::query(std::string name, Type type) { co_return *co_await Core::landing(core_->begin(name, type)); }

awaitable<Answer> Resolver::mx(std::string domain)
{
    Answer answer = *co_await Core::landing(core_->begin(domain, Type::mx));
    // Insertion keeps the order of equals; a hundred records at most (std::stable_sort is deprecated inside this libstdc++).
    for (auto next = answer.records.begin(); next != answer.records.end(); ++next)
        std::rotate(std::upper_bound(answer.records.begin(), next, next->preference,
                                     [](std::uint16_t preference, const Record& record) { return preference < record.preference; }),
                    next, next + 1);
    if (answer.records.size() > 1)                                    // RFC 7505 3: the root is no host; beside others it means nothing
        std::erase_if(answer.records, [](const Record& record) { return record.host.empty(); });
    co_return answer;
}

awaitable<Addresses> Resolver::addresses(std::string host, Families families)
{
    Addresses last;
    last.status = Status::nxdomain;
    for (const Lookup way : core_->options.host_lookup) {
        if (way == Lookup::dns) {
            Addresses answer = co_await core_->dns_addresses(host, families);
            if (answer.status != Status::nxdomain || last.status == Status::nxdomain)
                last = std::move(answer);
        } else if (Addresses native = core_->native_addresses(host, families); native.status != Status::nxdomain) {
            last = std::move(native);
        }
        if (last.status != Status::nxdomain && last.status != Status::nodata)
            break;                                                    // a temporary failure is not "not found"
    }
    co_return last;
}

awaitable<Answer> Resolver::names(net::IpAddress address)
{
    Answer last = made(Status::nxdomain, {});
    for (const Lookup way : core_->options.host_lookup) {
        if (way == Lookup::dns) {
            last = *co_await Core::landing(core_->begin(address.reverse_name(), Type::ptr));
        } else if (std::string name = core_->hosts.name(address); !name.empty()) {
            last = made(Status::found, {});
            last.records.emplace_back().type = Type::ptr;
            last.records.back().host = std::move(name);
        }
        if (last.status != Status::nxdomain && last.status != Status::nodata)
            break;
    }
    co_return last;
}

const Resolver::Counts& Resolver::counts() const { return core_->counts; }

void Resolver::forget() { core_->cache.clear(); }

}  // namespace posthorn::dns
