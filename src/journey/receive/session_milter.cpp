// Mail filters beside the session: each event is told, each verdict obeyed. A session without filters has none of this.
#include "base/strings.hpp"
#include "handoff/made_fields.hpp"
#include "receive/connect_server.hpp"
#include "receive/session.hpp"
#include "tables/table.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive {

namespace {

constexpr std::string_view server_closes = "421 4.7.0 Server closing connection";
constexpr std::uint64_t largest_new_body = 1ULL << 28;              // where message_size_limit sets none

policy::ServiceSpec server_of(const milter::Spec& spec)
{
    policy::ServiceSpec server;
    server.name = spec.name;
    server.is_unix = spec.is_unix;
    server.path = spec.path;
    server.host = spec.host;
    server.port = spec.port;
    return server;
}

/// An address as it is routed: "postmaster" has a domain there.
/// In lower case, as Postfix tells it: the address as tables are asked about it.
std::string resolved(const handoff::Route& route, const std::string& address)
{
    return tables::fold_key(route.address().empty() ? address : route.address(), true);
}

awaitable<Result<std::unique_ptr<net::Stream>>> connect_milter(Server::Core& core, const milter::Spec& spec)
{
    const policy::ServiceSpec server = server_of(spec);
    co_return co_await connect_server(core.executor, server, core.outside.names, spec.settings.connect_timeout);
}

}  // namespace

/// Which filters this client meets; an Error: not known now.
awaitable<Result<std::vector<milter::Spec>>> Session::milters_for_client()
{
    const milter::Options& options = core_.options.milters;
    if (!core_.milter_maps.empty()) {
        CO_TRY(const auto found, co_await core_.milter_maps.lookup(facts_.client_address));
        if (found) {
            if (iequals(trim(*found), "DISABLE"))
                co_return std::vector<milter::Spec>{};
            co_return milter::parse_milters(*found, options.settings);
        }
    }
    co_return options.smtpd;
}

/// Before the greeting. None: greet; else what is said instead.
awaitable<std::optional<std::string>> Session::meet_milters()
{
    if (milters_) {                                               // XCLIENT: another client, another session for the filters
        co_await milters_->chain.quit();
        milters_.reset();
    }
    auto specs = co_await milters_for_client();
    if (!specs) {
        core_.outside.log.warning("smtpd_milter_maps: {}", specs.error().text());
        end_ = End::hangup;
        co_return fmt::format("421 4.3.0 {} Temporary lookup error", core_.options.myhostname);
    }
    if (specs->empty())
        co_return std::nullopt;
    milters_ = std::make_unique<Milters>(
        *std::move(specs), core_.options.milters, [&core = core_](const milter::Spec& spec) { return connect_milter(core, spec); },
        [this](std::string_view name) { return milter_macro(name); }, [this](std::string text) { core_.outside.log.warning("{}", text); });
    milter::Peer peer;
    peer.name = facts_.client_name;
    peer.address = facts_.client_address;
    peer.port = client_port_;
    peer.v6 = facts_.client_address.find(':') != std::string::npos;
    const milter::Verdict verdict = co_await milters_->chain.connect(std::move(peer));
    const auto reply = heed(verdict, milters_->unheard);
    // As Sendmail does: the refusal itself is said to MAIL and what follows.
    if (reply && reply->starts_with('5'))
        co_return fmt::format("554 {} ESMTP not accepting connections", core_.options.myhostname);
    if (reply && reply->starts_with("421"))
        co_return fmt::format("421 {} Service unavailable - try again later", core_.options.myhostname);
    co_return std::nullopt;
}

/// What a verdict says of this command: the reply that refuses it, or none. Logged.
std::optional<std::string> Session::heed(const milter::Verdict& verdict, policy::Effects& effects)
{
    using Kind = milter::Verdict::Kind;
    switch (verdict.kind) {
    case Kind::go_on: break;
    case Kind::hold:
        effects.hold = true;
        log_what("milter-hold", "milter triggers HOLD action");
        break;
    case Kind::discard:
        effects.discard = true;
        log_what("milter-discard", "milter triggers DISCARD action");
        break;
    case Kind::shutdown:
    case Kind::reply: {
        std::string reply = verdict.kind == Kind::reply ? verdict.reply : std::string(server_closes);
        log_what("milter-reject", reply);
        refused_by("milter", reply);
        return reply;
    }
    }
    return std::nullopt;
}

bool Session::asks_milters() const { return milters_ && !(transaction_ && transaction_->effects.discard); }

/// None: go on; else the reply.
awaitable<std::optional<std::string>> Session::milters_on_helo()
{
    co_return heed(co_await milters_->chain.helo(facts_.helo.value_or("")), milters_->unheard);
}

awaitable<std::optional<std::string>> Session::milters_on_mail(std::string arguments, policy::Effects& effects)
{
    using milter::Stage;
    Milters& milters = *milters_;
    milters.sender_route = {};
    if (core_.outside.router != nullptr && !facts_.sender.value_or("").empty() &&
        milters.chain.wants(Stage::mail, {"mail_addr", "mail_host", "mail_mailer"}))
        milters.sender_route = co_await milter_route(*facts_.sender);
    co_return heed(co_await milters.chain.mail(milter::words_of_command(arguments)), effects);
}

awaitable<std::optional<std::string>> Session::milters_on_recipient(std::string arguments)
{
    using milter::Stage;
    Milters& milters = *milters_;
    milters.recipient_route = {};
    if (core_.outside.router != nullptr && milters.chain.wants(Stage::recipient, {"rcpt_addr", "rcpt_host", "rcpt_mailer"}))
        milters.recipient_route = co_await milter_route(facts_.recipient.value_or(""));
    co_return heed(co_await milters.chain.recipient(milter::words_of_command(arguments)), transaction_->effects);
}

/// Filters may ask to hear of recipients that we refused; it changes nothing.
awaitable<void> Session::milters_on_refused_recipient(std::string arguments, std::string reply)
{
    milters_->refusal = std::move(reply);
    co_await milters_->chain.refused_recipient(milter::words_of_command(arguments));
    milters_->refusal.clear();
}

/// Logged with the first recipient.
awaitable<std::optional<std::string>> Session::milters_on_data()
{
    const milter::Verdict verdict = co_await milters_->chain.data();
    const auto before = facts_.recipient;
    if (const auto& recipients = transaction_->envelope.recipients(); !recipients.empty())
        facts_.recipient = recipients.begin()->address();
    auto refused = heed(verdict, transaction_->effects);
    facts_.recipient = before;
    co_return refused;
}

awaitable<std::optional<std::string>> Session::milters_on_unknown(std::string line)
{
    co_return heed(co_await milters_->chain.unknown(std::move(line)), transaction_ ? transaction_->effects : milters_->unheard);
}

awaitable<handoff::Route> Session::milter_route(std::string address)
{
    std::vector<std::string> addresses;
    addresses.push_back(std::move(address));
    auto routes = co_await core_.outside.router->route(facts_.sender.value_or(""), std::move(addresses));
    if (!routes || routes->empty()) {
        handoff::Route unknown;
        co_return unknown;
    }
    co_return routes->front();
}

/// A macro that filters are told of; `name` has no braces. None: not known here.                                     MILTER_README
std::optional<std::string> Session::milter_macro(std::string_view name) const
{
    const milter::Options& options = core_.options.milters;
    const auto told = [](const std::string& value) { return std::optional(value); };
    const auto if_any = [](const std::string& value) { return value.empty() ? std::nullopt : std::optional(value); };
    if (name == "daemon_name")
        return told(options.daemon_name);
    if (name == "v")
        return told(options.v);
    if (name == "j")
        return told(core_.options.myhostname);
    if (name == "_")
        return fmt::format("{} [{}]{}", facts_.client_reverse_name, facts_.client_address,
                           iequals(facts_.client_name, facts_.client_reverse_name) ? "" : " (may be forged)");
    if (name == "client_addr")
        return told(facts_.client_address);
    if (name == "client_name")
        return told(facts_.client_name);
    if (name == "client_ptr")
        return told(facts_.client_reverse_name);
    if (name == "client_port")
        return std::to_string(client_port_);
    if (name == "client_resolve") {
        if (facts_.client_name != "unknown")
            return "OK";
        if (facts_.client_name_later || facts_.client_reverse_name_later)
            return "TEMP";
        return facts_.client_reverse_name != "unknown" ? "FORGED" : "FAIL";
    }
    if (name == "daemon_addr" || name == "daemon_port") {
        const policy::SessionFacts facts = session_facts();
        return name == "daemon_addr" ? if_any(facts.server_address) : std::optional(std::to_string(facts.server_port));
    }
    if (name == "i")
        return transaction_ ? if_any(transaction_->queue_id) : std::nullopt;
    if (login_ && name == "auth_type")
        return if_any(login_->method);
    if (login_ && name == "auth_authen")
        return if_any(login_->username);
    if (transaction_ && name == "auth_author")
        return if_any(transaction_->sasl_sender);
    if (tls_) {
        const ClientCertificate& certificate = tls_->certificate;
        if (name == "tls_version")
            return told(tls_->protocol);
        if (name == "cipher")
            return told(tls_->cipher);
        if (name == "cipher_bits")
            return std::to_string(tls_->bits);
        if (name == "cert_subject")
            return certificate.trusted ? if_any(certificate.subject) : std::nullopt;
        if (name == "cert_issuer")
            return certificate.trusted ? if_any(certificate.issuer) : std::nullopt;
    }
    if (facts_.sender) {
        const bool null = facts_.sender->empty();
        if (name == "mail_addr")
            return null ? std::string{} : smtp::external_address(resolved(milters_->sender_route, *facts_.sender));
        if (name == "mail_host")
            return null ? told({}) : if_any(milters_->sender_route.nexthop());
        if (name == "mail_mailer")
            return null ? told({}) : if_any(milters_->sender_route.transport());
    }
    if (facts_.recipient && where_ == "RCPT") {
        const std::string& refusal = milters_->refusal;
        const std::string_view said = std::string_view(refusal).substr(std::min<std::size_t>(4, refusal.size()));
        if (name == "rcpt_addr" && !refusal.empty()) {            // what "5.1.1 <user@example.test>: " is followed by
            const auto behind = said.find(' ', said.find(' ') + 1);
            return behind == std::string_view::npos ? std::nullopt : std::optional<std::string>(said.substr(behind + 1));
        }
        if (name == "rcpt_addr")
            return smtp::external_address(resolved(milters_->recipient_route, *facts_.recipient));
        if (name == "rcpt_host")
            return refusal.empty() ? if_any(milters_->recipient_route.nexthop()) : std::string(said.substr(0, said.find(' ')));
        if (name == "rcpt_mailer")
            return refusal.empty() ? if_any(milters_->recipient_route.transport()) : "error";
    }
    return std::nullopt;
}

// ---- The message

/// One line, as postfix/cleanup: "QID: milter-reject: END-OF-MESSAGE from client[addr]: 5.7.1 ...; from=<> to=<> proto= helo=".
void Session::log_milter(const handoff::Envelope& envelope, std::string_view what, std::string_view text)
{
    std::string line = fmt::format("{}: {}: END-OF-MESSAGE from {}: {};", envelope.queue_id(), what, facts_.client, text);
    std::string recipient;
    if (!envelope.recipients().empty()) {
        const handoff::Recipient& last = *envelope.recipients().rbegin();
        recipient = last.original().empty() ? last.address() : last.original();
    }
    line += mail_for_log(envelope.recipients().empty() ? nullptr : &recipient) + login_of_refusal();
    core_.outside.cleanup_log.info("{}", printable(line, true));
}

/// The whole message is shown to the filters, and changed as they say. A refusal is the content's.
awaitable<void> Session::show_to_milters(Content& content)
{
    using Kind = milter::Verdict::Kind;
    const std::uint64_t limit = core_.options.message_size_limit;
    Ceiling::Share share(core_.ceiling);
    auto loaded = co_await milter::Mail::load(
        content.stored(), [&content](std::uint64_t offset, std::size_t most) { return content.read(offset, most); },
        limit == 0 ? largest_new_body : limit);
    if (!loaded) {
        content.refuse(refusal_of(loaded.error()));
        co_return;
    }
    milter::Mail& mail = **loaded;
    mail.hold_within([&share](std::size_t octets) { return share.set(octets); });
    if (!share.set(mail.held())) {
        content.refuse(handoff::Refusal{452, "4.3.1", "Insufficient system storage"});
        co_return;
    }
    const milter::Verdict verdict =
        co_await milters_->chain.message(mail, [this, &content](milter::Mail& changed) { return check_made_fields(content, changed); });
    const handoff::Envelope& envelope = content.envelope();
    if (content.refusal())
        co_return;
    switch (verdict.kind) {
    case Kind::go_on: break;
    case Kind::hold:
        if (!envelope.hold() && !transaction_->effects.hold)
            log_milter(envelope, "milter-hold", "milter triggers HOLD action");
        transaction_->effects.hold = true;
        break;
    case Kind::discard:
        log_milter(envelope, "milter-discard", "milter triggers DISCARD action");
        transaction_->effects.discard = true;
        co_return;
    case Kind::shutdown:
    case Kind::reply: {
        const std::string reply = verdict.kind == Kind::reply ? verdict.reply : std::string(server_closes);
        log_milter(envelope, "milter-reject", std::string_view(reply).substr(std::min<std::size_t>(4, reply.size())));
        milters_->refusal_of_message = reply;
        co_return;
    }
    }
    if (transaction_->effects.discard)
        co_return;
    if (mail.changed()) {
        auto body = mail.take_new_body();
        share.set(mail.held());                                   // the content holds it from here
        co_await content.rewrite(mail.head(), mail.old_head_size(), std::move(body));
    }
    if (content.refusal() || mail.envelope_changes().empty())
        co_return;
    auto changed = co_await core_.outside.cleaner.changed(content.take_envelope(), mail.take_envelope_changes());
    if (!changed)
        content.refuse(std::move(changed).error());
    else
        content.set_envelope(*std::move(changed));
}

/// milter_header_checks. What it finds goes into envelope and content; only a refusal ends the round.
awaitable<milter::Verdict> Session::check_made_fields(Content& content, milter::Mail& mail)
{
    handoff::Envelope envelope = content.take_envelope();
    auto found = co_await handoff::check_made_fields(core_.outside.cleaner, &envelope, mail);
    content.set_envelope(std::move(envelope));
    if (found.discard)
        transaction_->effects.discard = true;
    if (auto& refusal = found.refusal) {
        content.refuse(*std::move(refusal));
        co_return milter::Verdict(milter::Verdict::Kind::reply);
    }
    co_return milter::Verdict();
}

}  // namespace posthorn::receive
