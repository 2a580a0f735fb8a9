#include "tester/finger.hpp"

#include "base/strings.hpp"
#include "config/paths.hpp"
#include "config/snapshot.hpp"
#include "dns/params.hpp"
#include "net/connect.hpp"
#include "tester/conversation.hpp"
#include "tester/finger_options.hpp"
#include "tls/params.hpp"
#include "tls/tls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace posthorn::tester {

namespace {

using Level = FingerOptions::Level;

template <class... Args>
void say(fmt::format_string<Args...> text, Args&&... args)
{
    fmt::print(stderr, "posttls-finger: {}\n", fmt::format(text, std::forward<Args>(args)...));
}

struct Host {
    Host(std::string named, net::Endpoint at) : name(std::move(named)), endpoint(std::move(at)) {}
    std::string name;
    net::Endpoint endpoint;
};

/// A digest without colons, as -l fingerprint compares it.
std::string bare(std::string_view digest)
{
    std::string text;
    for (const char c : digest)
        if (c != ':')
            text += ascii_lower(c);
    return text;
}

class Finger {
public:
    Finger(const FingerOptions& options, const config::Snapshot& snapshot, Executor executor, dns::Resolver& resolver,
           std::shared_ptr<tls::Context> context)
        : options_(options), snapshot_(snapshot), executor_(std::move(executor)), resolver_(resolver), context_(std::move(context)),
          sessions_(std::make_shared<tls::MemorySessionStore>(clock_))
    {
    }

    awaitable<void> run()
    {
        const Destination where = finger_destination(options_);
        auto hosts = co_await find(where);
        if (!hosts) {
            say("Destination address lookup failed: {}", hosts.error().what());
            co_return;
        }
        co_await visit(*hosts);
        if (options_.reconnect.count() <= 0 || !secured_)
            co_return;
        for (int round = 0; round < options_.reconnects; ++round) {
            say("Reconnecting after {} seconds", options_.reconnect.count());
            asio::steady_timer pause(executor_, options_.reconnect);
            co_await pause.async_wait(asio::use_awaitable);
            const auto before = servers_;
            co_await visit(*hosts);
            say("{}", resumed_ ? "The TLS session was reused" : "The TLS session was not reused");
            // One that hung up before it named itself is none that was met before.
            if (servers_.size() > before.size() && std::ranges::find(before, servers_.back()) != before.end()) {
                say("Found a previously used server.  Done reconnecting.");
                co_return;
            }
        }
        say("Maximum reconnect count reached.");
    }

private:
    awaitable<Result<std::vector<Host>>> find(const Destination& where)
    {
        std::vector<Host> hosts;
        if (!where.path.empty()) {
            hosts.emplace_back(snapshot_.text("myhostname"), net::Endpoint::unix(where.path));
            co_return hosts;
        }
        const auto port = static_cast<std::uint16_t>(parse_number(where.port).value_or(0));
        std::string_view literal = where.host;
        if (literal.starts_with("ipv6:") || literal.starts_with("IPv6:"))
            literal.remove_prefix(5);
        if (const auto address = net::IpAddress::parse(literal)) {
            hosts.emplace_back(std::string(literal), net::Endpoint(*address, port));
            co_return hosts;
        }
        std::vector<std::string> names{where.host};
        if (!where.literal && !options_.lmtp) {
            const dns::Answer answer = co_await resolver_.mx(where.host);
            if (answer.found()) {
                names.clear();
                for (const dns::Record& record : answer.records)
                    names.push_back(record.host);
            } else if (answer.status != dns::Status::nodata) {
                co_return dns::lookup_error(where.host, dns::Type::mx, answer);
            }
        }
        Error last{"no address"};
        for (const std::string& name : names) {
            const dns::Addresses found = co_await resolver_.addresses(name, options_.families);
            for (const net::IpAddress& address : found.list)
                hosts.emplace_back(name, net::Endpoint(address, port));
            if (!found.found())
                last = Error{
                    fmt::format("Host or domain name not found. Name service error for name={} type=A: {}", name, dns::status_text(found.status))};
        }
        if (hosts.empty())
            co_return last;
        co_return hosts;
    }

    awaitable<void> visit(std::vector<Host> hosts)
    {
        secured_ = resumed_ = false;
        for (const Host& host : hosts) {
            const bool tcp = !host.endpoint.is_unix();
            const std::string address = tcp ? host.endpoint.ip.text() : host.endpoint.path;
            const std::string peer =
                tcp ? fmt::format("{}[{}]:{}", host.name, address, host.endpoint.port) : fmt::format("{}[{}]", host.name, address);
            auto stream = co_await net::connect(executor_, host.endpoint, net::ConnectOptions(options_.connect_limit));
            if (!stream) {
                say("Failed to establish session to {} via {}: connect to {}: {}", options_.destination, host.name, peer, stream.error().what());
                continue;
            }
            if (options_.chat)
                say("Connected to {}", peer);
            if (co_await talk(*std::move(stream), host.name, peer))
                co_return;
        }
    }

    awaitable<std::optional<smtp::Reply>> hear(Conversation& session)
    {
        auto reply = co_await session.reply();
        if (options_.chat && reply)
            for (std::size_t at = 0; at < reply->lines.size(); ++at)
                say("< {}{}{}", reply->code, at + 1 < reply->lines.size() ? '-' : ' ', printable(reply->lines[at], true));
        co_return reply;
    }

    awaitable<std::optional<smtp::Reply>> ask(Conversation& session, std::string command)
    {
        if (options_.chat)
            say("> {}", command);
        if (!co_await session.say({command}))
            co_return std::nullopt;
        co_return co_await hear(session);
    }

    /// False: the next host may do better.
    awaitable<bool> talk(std::unique_ptr<net::Stream> stream, std::string name, std::string peer)
    {
        if (options_.wrapper && options_.level != Level::none) {
            stream = co_await secure(std::move(stream), name, peer);
            if (!stream)
                co_return true;
        }
        Conversation session(std::move(stream), options_.command_limit);
        const auto greeting = co_await hear(session);
        if (!greeting || greeting->code / 100 != 2) {
            say("{}: {}", peer, greeting ? "the greeting refuses the session" : "lost connection while receiving the initial server greeting");
            co_return false;
        }
        const std::string hello = fmt::format("{} {}", options_.lmtp ? "LHLO" : "EHLO", snapshot_.text("myhostname"));
        auto features = co_await ask(session, hello);
        if (features && !features->lines.empty())
            servers_.push_back(features->lines.front().substr(0, features->lines.front().find(' ')));
        const bool offered = features && std::ranges::any_of(features->lines, [](const std::string& line) { return iequals(line, "STARTTLS"); });
        if (options_.level != Level::none && !options_.wrapper) {
            if (!offered) {
                say("{}: STARTTLS is not offered", peer);
            } else {
                const auto ready = co_await ask(session, "STARTTLS");
                if (!ready || ready->code / 100 != 2) {
                    say("{}: STARTTLS was refused", peer);
                } else {
                    auto secured = co_await secure(session.take_stream(), name, peer);
                    if (!secured)
                        co_return true;
                    session.resume(std::move(secured));
                    co_await ask(session, hello);
                }
            }
        }
        co_await ask(session, "QUIT");
        session.close();
        co_return true;
    }

    awaitable<std::unique_ptr<net::Stream>> secure(std::unique_ptr<net::Stream> plain, std::string name, std::string peer)
    {
        tls::ConnectOptions wish(options_.sni);
        if (options_.level == Level::verify || options_.level == Level::secure)
            wish.names = !options_.matches.empty() ? options_.matches : std::vector{name};
        if (options_.reconnect.count() > 0) {
            wish.sessions = sessions_;
            wish.session_key = peer;
        }
        plain->expires_after(options_.command_limit);
        auto secured = co_await tls::connect(context_, std::move(plain), std::move(wish));
        if (!secured) {
            const tls::HandshakeLines lines = tls::handshake_failed(tls::Role::client, peer, secured.error());
            say("{}", lines.info);
            for (const std::string& warning : lines.warnings)
                say("warning: {}", warning);
            co_return nullptr;
        }
        tell(secured->facts, peer);
        secured_ = true;
        resumed_ = secured->facts.resumed;
        co_return std::move(secured->stream);
    }

    void tell(tls::Facts facts, const std::string& peer) const
    {
        const bool names = options_.level == Level::verify || options_.level == Level::secure;
        if (options_.level == Level::fingerprint) {
            facts.trust = tls::Trust::untrusted;
            for (const std::string& wanted : options_.matches)
                for (const std::string* digest : {&facts.certificate_fingerprint, &facts.key_fingerprint})
                    if (!digest->empty() && bare(wanted) == bare(*digest)) {
                        facts.trust = tls::Trust::verified;
                        if (options_.say_names)
                            say("{}: Matched fingerprint: {}", peer, *digest);
                    }
            if (facts.trust != tls::Trust::verified)
                say("certificate verification failed for {}: no digest matches", peer);
        } else if (names) {
            if (const std::string line = tls::trouble(facts, peer); !line.empty())
                say("{}", line);
            else if (options_.say_names && !facts.matched_name.empty())
                say("{}: matched peername: {}", peer, facts.matched_name);
        } else if (facts.trust != tls::Trust::absent) {
            facts.trust = tls::Trust::untrusted;               // nobody asked whom it stands for
        }
        if (options_.say_names && facts.trust != tls::Trust::absent && !facts.resumed)
            say("{}: subject_CN={}, issuer_CN={}, fingerprint={}, pkey_fingerprint={}", peer, facts.peer_cn, facts.issuer_cn,
                facts.certificate_fingerprint, facts.key_fingerprint);
        if (options_.say_summary)
            say("{}", tls::summary(facts, peer));
        if (!options_.chain)
            return;
        fmt::print("\n---\nCertificate chain\n");
        for (std::size_t i = 0; i < facts.chain.size(); ++i) {
            const tls::PeerCertificate& one = facts.chain[i];
            fmt::print("{:>2} subject: {}\n    issuer: {}\n   cert digest={}\n   pkey digest={}\n{}", i, one.subject, one.issuer,
                       one.certificate_fingerprint, one.key_fingerprint, one.pem);
        }
        std::fflush(stdout);
    }

    const FingerOptions& options_;
    const config::Snapshot& snapshot_;
    Executor executor_;
    dns::Resolver& resolver_;
    std::shared_ptr<tls::Context> context_;
    SystemClock clock_;
    std::shared_ptr<tls::SessionStore> sessions_;
    std::vector<std::string> servers_;
    bool secured_ = false, resumed_ = false;
};

tls::Options tls_options(const FingerOptions& wish, const config::Snapshot& snapshot)
{
    tls::Options options = tls::client_options(snapshot, true);
    options.chain_files = wish.chain_files;
    options.certificates.clear();
    if (!wish.certificate.empty())
        options.certificates.emplace_back(wish.certificate, wish.key);
    options.ca_file = wish.ca_file;
    options.ca_path = wish.ca_path;
    options.default_ca = false;
    options.protocols = wish.protocols;
    options.ciphers = wish.grade;
    options.fingerprint_digest = wish.digest;
    options.keep_chain = wish.chain;
    return options;
}

int run(std::span<char*> args)
{
    const FingerOptions options = finger_options(args);
    finger_destination(options);
    auto loaded = config::load(config::choose_config_directory({}), "posttls-finger", {});
    // A tool to look around with works where nothing is installed, too.
    const config::Snapshot base = loaded ? *loaded : config::Snapshot(config::this_host("posttls-finger"), "", {});
    std::vector<config::Assignment> overrides{{"smtp_host_lookup", options.host_lookup, 0}};
    for (const auto& [name, value] : options.overrides)
        overrides.push_back({name, value, 0});
    const config::Snapshot snapshot = base.with(overrides, "-o");
    auto context = tls::Context::client(tls_options(options, snapshot));
    if (!context)
        throw Wrong(context.error().text());
    auto dns_options = dns::options_from(snapshot);
    if (!dns_options)
        throw Wrong(dns_options.error().text());
    if (options.dane_asked && options.chat)
        say("TLSA records are not looked up: the level is secure");
    asio::io_context loop(1);
    SystemClock clock;
    dns::Resolver resolver(loop.get_executor(), clock, *std::move(dns_options));
    Finger finger(options, snapshot, loop.get_executor(), resolver, *context);
    asio::co_spawn(loop, finger.run(), [&loop](std::exception_ptr failure) {
        loop.stop();
        if (failure)
            std::rethrow_exception(failure);
    });
    loop.run();
    return 0;
}

}  // namespace

int finger(std::span<char*> args)
{
    try {
        return run(args);
    } catch (const Wrong& wrong) {
        if (*wrong.what() == '\0')
            fmt::print(stderr, "{}", finger_usage);
        else
            say("fatal: {}", wrong.what());
    } catch (const std::exception& failure) {
        say("fatal: {}", failure.what());
    }
    return 1;
}

}  // namespace posthorn::tester
