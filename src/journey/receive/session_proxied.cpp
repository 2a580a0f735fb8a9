// A client behind another: PROXY protocol, XCLIENT, XFORWARD.
#include "base/strings.hpp"
#include "receive/claims.hpp"
#include "receive/session.hpp"

#include <fmt/format.h>

namespace posthorn::receive {

// Before anything is said; what follows the header in the same segment is the client's.
awaitable<void> Session::take_proxy_header()
{
    request_deadline_ = std::chrono::steady_clock::now() + core_.options.upstream_proxy_timeout;
    for (;;) {
        const auto parsed = net::parse_proxy_header(input_.view());
        if (parsed.state == net::ProxyParsed::State::done) {
            input_.consume(parsed.header.octets);
            if (!parsed.header.local) {
                facts_.client_address = parsed.header.client.text();
                client_port_ = parsed.header.client_port;
                destination_ = std::make_unique<net::Endpoint>(parsed.header.server, parsed.header.server_port);
            }
            co_return;
        }
        std::string problem(parsed.problem);
        if (parsed.state == net::ProxyParsed::State::more) {
            stream_->expires_at(request_deadline_);
            // Where TLS begins at once, what follows the header is not ours to read.
            const auto got = co_await stream_->read_some(core_.options.tls_wrapper ? input_.room().first(1) : input_.room());
            if (got && *got != 0) {
                input_.added(*got);
                continue;
            }
            problem = got ? "lost connection" : got.error().what();
        }
        core_.outside.log.warning("haproxy read: {}", problem);
        input_.clear();
        end_ = End::hangup;
        co_return;
    }
}

awaitable<bool> Session::listed(const tables::MatchList& list)
{
    if (list.empty())
        co_return false;
    const auto found = co_await list.ask(facts_.client_name, facts_.client_address);
    co_return found.has_value() && *found;
}

// A listed client speaks for another: the session begins anew, as that one's.
awaitable<bool> Session::xclient(std::string arguments)
{
    if (transaction_) {
        say("503 5.5.1 Error: MAIL transaction in progress");
        co_return false;
    }
    if (!co_await listed(core_.xclient_hosts)) {
        say("550 5.7.0 Error: insufficient authorization");
        co_return false;
    }
    const auto claims = parse_claims(ClaimKind::xclient, arguments);
    if (!claims) {
        say(claims.error());
        co_return false;
    }
    if (std::exchange(counted_, false))              // what is counted is given back under the address that it was counted for
        core_.outside.rates->disconnected(rate_key());
    login_.reset();                                  // it was another's
    bool named = false, addressed = false, greeted = false;
    for (const Claim& claim : *claims) {
        const std::string value = claim.value.value_or("");
        if (claim.name == "NAME") {
            facts_.client_name = facts_.client_reverse_name = claim.value.value_or("unknown");
            facts_.client_name_later = facts_.client_reverse_name_later = claim.later;
            named = true;
        } else if (claim.name == "REVERSE_NAME") {
            facts_.client_reverse_name = claim.value.value_or("unknown");
            facts_.client_reverse_name_later = claim.later;
        } else if (claim.name == "ADDR") {
            facts_.client_address = claim.value.value_or("unknown");
            addressed = true;
        } else if (claim.name == "PORT") {
            client_port_ = static_cast<std::uint16_t>(claim.value ? std::stoul(value) : 0);
        } else if (claim.name == "HELO") {
            facts_.helo = claim.value;
            greeted = claim.value.has_value();
        } else if (claim.name == "PROTO") {
            esmtp_ = !iequals(value, "SMTP");
        } else if (claim.name == "LOGIN") {
            login_ = value.empty() || !core_.options.policy.logins ? nullptr : std::make_unique<Login>("XCLIENT", printable(value, true));
        } else if (claim.name == "DESTADDR" && claim.value) {
            if (!destination_)
                destination_ = std::make_unique<net::Endpoint>();
            destination_->ip = net::IpAddress::parse(value).value_or(net::IpAddress());      // parse_claims let nothing else through
        } else if (claim.name == "DESTPORT" && claim.value) {
            if (!destination_)
                destination_ = std::make_unique<net::Endpoint>();
            destination_->port = static_cast<std::uint16_t>(std::stoul(value));
        }
    }
    if (addressed && !named) {                       // never the name of the one that speaks for it
        facts_.client_name = facts_.client_reverse_name = "unknown";
        facts_.client_name_later = facts_.client_reverse_name_later = false;
    }
    facts_.client = fmt::format("{}[{}]", facts_.client_name, facts_.client_address);
    helo_given_ = greeted;
    release_client_.reset();
    latest_release_.reset();
    if (!greeted)
        facts_.helo.reset();
    forwarded_.reset();
    forwarded_client_ = false;
    denied_.reset();
    facts_.client_deferral.reset();
    facts_.helo_deferral.reset();
    client_effects_.reset();
    helo_effects_.reset();
    co_await welcome();
    co_return true;
}

// For the log of the next mail alone.
awaitable<bool> Session::xforward(std::string arguments)
{
    if (transaction_) {
        say("503 5.5.1 Error: MAIL transaction in progress");
        co_return false;
    }
    if (!co_await listed(core_.xforward_hosts)) {
        say("550 5.7.0 Error: insufficient authorization");
        co_return false;
    }
    const auto claims = parse_claims(ClaimKind::xforward, arguments);
    if (!claims) {
        say(claims.error());
        co_return false;
    }
    if (!forwarded_)
        forwarded_ = std::make_unique<smtp::Origin>();
    for (const Claim& claim : *claims) {
        const std::string value = printable(claim.value.value_or(""), true);
        forwarded_client_ = forwarded_client_ || claim.name == "NAME" || claim.name == "ADDR";
        if (claim.name == "NAME")
            forwarded_->name = value;
        else if (claim.name == "ADDR")
            forwarded_->address = value;
        else if (claim.name == "PORT")
            forwarded_->port = value;
        else if (claim.name == "PROTO")
            forwarded_->protocol = value;
        else if (claim.name == "HELO")
            forwarded_->helo = value;
        else if (claim.name == "IDENT")
            forwarded_->ident = value;
        else if (claim.name == "SOURCE")
            forwarded_->source = to_upper(value);
    }
    say("250 2.0.0 Ok");
    co_return true;
}

std::string Session::origin_for_log() const
{
    std::string text = namaddr();
    text += login_for_log();
    if (forwarded_) {
        if (!forwarded_->ident.empty())
            text += fmt::format(", orig_queue_id={}", forwarded_->ident);
        if (forwarded_client_)
            text += fmt::format(", orig_client={}[{}]", forwarded_->name.empty() ? "unknown" : forwarded_->name,
                                forwarded_->address.empty() ? "unknown" : forwarded_->address);
    }
    return text;
}

}  // namespace posthorn::receive
