#include "receive/session.hpp"

#include "base/strings.hpp"
#include "receive/client_name.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive {

namespace {

// Where a client may not send ahead although it heard PIPELINING (RFC 2920 3.1). STARTTLS drops what was sent ahead; after
// QUIT nobody listens; BDAT is followed by its octets.
bool must_wait_after(smtp::VerbId verb)
{
    using smtp::VerbId;
    return verb == VerbId::ehlo || verb == VerbId::helo || verb == VerbId::data || verb == VerbId::noop || verb == VerbId::vrfy ||
           verb == VerbId::auth;
}

bool is_junk(smtp::VerbId verb)
{
    using smtp::VerbId;
    return verb == VerbId::rset || verb == VerbId::noop || verb == VerbId::vrfy || verb == VerbId::etrn || verb == VerbId::help;
}

bool is_served(smtp::VerbId verb)
{
    using smtp::VerbId;
    return verb != VerbId::lhlo && verb != VerbId::expn && verb != VerbId::turn;
}

constexpr std::size_t most_unsent = 16 * 1024;

}  // namespace

Session::Session(Server::Core& core, screen::Arrival arrival)
    : core_(core), stream_(std::move(arrival.stream)), input_(core.buffers, core.content_buffers, core.options.line_length_limit),
      screened_(core.gate != nullptr)
{
    const net::Endpoint& peer = stream_->peer();
    facts_.client_address = peer.is_unix() ? "127.0.0.1" : peer.ip.text();
    client_port_ = peer.port;
    if (arrival.proxied && !arrival.proxied->local) {
        facts_.client_address = arrival.proxied->client.text();
        client_port_ = arrival.proxied->client_port;
        destination_ = std::make_unique<net::Endpoint>(arrival.proxied->server, arrival.proxied->server_port);
    }
    if (!arrival.early.empty()) {
        std::ranges::copy(arrival.early, input_.room().begin());         // the gate reads less than a buffer has
        input_.added(arrival.early.size());
    }
}

Session::~Session() = default;

std::string Session::namaddr() const { return core_.options.port_logging ? fmt::format("{}:{}", facts_.client, client_port_) : facts_.client; }

awaitable<void> Session::run()
{
    co_await begin();
    if (end_ == End::none)
        co_await converse();
    co_await finish();
}

awaitable<void> Session::begin()
{
    if (core_.options.upstream_proxy && !screened_) {
        co_await take_proxy_header();
        if (end_ != End::none)
            co_return;
    }
    co_await name_client();
    core_.outside.log.info("connect from {}", namaddr());
    if (core_.outside.postmaster != nullptr && core_.options.notify.sessions())
        record_ = std::make_unique<SessionRecord>(core_.options.notify);
    if (core_.outside.rates && core_.options.client.any() && !co_await may_connect())
        co_return;
    const auto debugged = co_await core_.debug_peers.ask(facts_.client_name, facts_.client_address);
    debug_ = debugged.has_value() && *debugged;
    const auto excluded = co_await core_.bare_newline_exclusions.ask(facts_.client_name, facts_.client_address);
    bare_newline_ = excluded.has_value() && *excluded ? BareNewline::no : core_.options.forbid_bare_newline;
    const auto early = co_await core_.pipe_connect_hosts.ask(facts_.client_name, facts_.client_address);
    pipe_connect_ = early.has_value() && *early;

    if (!core_.options.tls_wrapper || co_await secure())
        co_await greet();
}

awaitable<void> Session::finish()
{
    if (!co_await flush() && end_ == End::none)
        end_ = End::lost;
    log_end();
    tell_postmaster();
    transaction_.reset();
    if (asking_)
        co_await asking_->close();
    if (milters_)
        co_await milters_->chain.quit();
    if (counted_)
        core_.outside.rates->disconnected(rate_key());
    core_.outside.log.info("disconnect from {} {}{}", namaddr(), tally_.text(),
                           bare_lf_seen_ && bare_newline_ == BareNewline::note ? " notes=bare_lf" : "");
    if (stream_ && stream_->is_open()) {
        if (stream_->next_layer()) {                 // TLS has a goodbye of its own; the kernel says a socket's
            stream_->expires_after(std::chrono::seconds{5});
            (void)co_await stream_->shutdown();
        }
        stream_->close();
    }
}

awaitable<void> Session::name_client()
{
    if (core_.options.peername_lookup) {
        stream_->expires_after(core_.pace().timeout);
        ClientName found = co_await look_up_client(core_.outside.names, facts_.client_address, core_.outside.log);
        facts_.client_name = std::move(found.name);
        facts_.client_reverse_name = std::move(found.reverse_name);
        facts_.client_name_later = found.name_later;
        facts_.client_reverse_name_later = found.reverse_name_later;
    }
    facts_.client = fmt::format("{}[{}]", facts_.client_name, facts_.client_address);
}

awaitable<void> Session::greet()
{
    start_request();
    if (!core_.options.tls_wrapper && !pipe_connect_ && !screened_ && poll_early_input("CONNECT"))
        co_return;
    co_await welcome();
}

awaitable<void> Session::welcome()
{
    if (!core_.options.policy.delay_reject) {
        policy::Effects effects;
        policy::Judge judge(core_.law, facts_, effects, *this);
        const auto ruling = co_await judge.client();
        facts_.client_deferral = judge.deferral();
        client_effects_ = effects.any() ? std::make_unique<policy::Effects>(std::move(effects)) : nullptr;
        if (ruling.hangup) {
            end_ = End::hangup;
            co_return;
        }
        if (ruling.refused()) {
            denied_ = std::make_unique<std::string>(ruling.reply);
            say(ruling.reply, true);
            co_return;
        }
    }
    if (core_.options.milters.any_for_smtpd()) {
        if (const auto instead = co_await meet_milters()) {
            say(*instead);
            co_return;
        }
    }
    say(fmt::format("220 {}", core_.options.banner));
}

policy::Effects Session::early_effects() const { return helo_effects_ ? *helo_effects_ : client_effects_ ? *client_effects_ : policy::Effects(); }

awaitable<void> Session::converse()
{
    while (end_ == End::none)
        if (!co_await step() && !co_await fill())
            co_return;
}

// Answers the next line; false where no whole line is in hand.
awaitable<bool> Session::step()
{
    const Pace& pace = core_.pace();
    if (errors_ >= pace.hard_error_limit) {
        say(fmt::format("421 4.7.0 {} Error: too many errors", core_.options.myhostname));
        end_ = End::too_many_errors;
        co_return true;
    }
    auto line = input_.take_line();
    if (!line)
        co_return false;
    if (errors_ >= pace.soft_error_limit && core_.options.error_sleep_time.count() > 0) {
        if (!co_await flush())
            co_return true;
        co_await sleep_for(core_.options.error_sleep_time);
    }
    if (line->bare_lf) {
        bare_lf_seen_ = true;
        if (bare_newline_ == BareNewline::reject) {
            core_.outside.log.info("reject: bare <LF> received after {} from {}", where_, namaddr());
            say(fmt::format("{} 5.5.2 {} Error: bare <LF> received", core_.options.bare_newline_reject_code, core_.options.myhostname));
            end_ = End::hangup;
            co_return true;
        }
    }
    if (debug_)                                   // a password is nobody's business
        transcript('<', iequals(smtp::split_command(line->text).word, "AUTH") ? "AUTH (arguments are not logged)" : line->text);
    if (record_)
        record_->heard(line->text);
    bool ok = false;
    if (!core_.command_filter.empty() && !co_await filter_command(&line->text))
        co_return true;
    const smtp::Command command = smtp::split_command(line->text);
    if (core_.options.smtputf8 && !is_valid_utf8(line->text))
        say_line(500, "5.5.2", "Error: bad UTF-8 syntax");
    else if (command.word.empty())
        say_line(500, "5.5.2", "Error: bad syntax");
    else
        ok = co_await dispatch(command, line->text);
    if (!ok)
        ++errors_;
    if (out_.size() > most_unsent || (transaction_ && transaction_->asked.size() >= Transaction::asked_limit))
        (void)co_await flush();
    co_return true;
}

awaitable<bool> Session::dispatch(smtp::Command command, const std::string& line)
{
    using smtp::VerbId;
    const smtp::Verb* verb = command.verb && is_served(command.verb->id) ? command.verb : nullptr;
    if (!core_.noop_commands.empty()) {
        const auto noop = co_await core_.noop_commands.ask(std::string(command.word));
        if (noop && *noop) {
            say("250 2.0.0 Ok");
            co_return junk_++ <= core_.pace().junk_command_limit;
        }
    }
    tally_.count(verb);
    if (!verb) {
        where_ = "UNKNOWN";
        bool forbidden = smtp::looks_like_header(line);
        if (!forbidden) {
            const auto listed = co_await core_.forbidden_commands.ask(std::string(command.word));
            forbidden = listed && *listed;
        }
        if (forbidden) {
            core_.outside.log.warning("non-SMTP command from {}: {}", namaddr(), printable(std::string_view(line).substr(0, 100)));
            say("221 2.7.0 Error: I can break rules, too. Goodbye.");
            end_ = End::hangup;
            co_return false;
        }
    }
    if (denied_ && !(verb && verb->id == VerbId::quit)) {
        if (!co_await skip_refused_chunk(command))
            co_return false;
        say_line(503, "5.7.0", fmt::format("Error: access denied for {}", facts_.client));
        co_return false;
    }
    if (!verb) {
        if (asks_milters())
            if (const auto refused = co_await milters_on_unknown(line)) {
                say(*refused);
                co_return false;
            }
        say("500 5.5.2 Error: command not recognized");
        co_return false;
    }
    if (core_.options.tls_level == TlsLevel::encrypt && !facts_.tls && !verb->before_tls) {
        if (!co_await skip_refused_chunk(command))
            co_return false;
        say("530 5.7.0 Must issue a STARTTLS command first");
        co_return false;
    }
    where_ = verb->name;
    // Outside ESMTP nothing may be sent ahead at all; BDAT is ESMTP by itself.
    // A client that need not wait for the greeting knows the answer to EHLO as well.
    const bool may_be_ahead = verb->id == VerbId::bdat || verb->id == VerbId::quit || (pipe_connect_ && verb->id == VerbId::ehlo);
    if (((!esmtp_ && !may_be_ahead) || (must_wait_after(verb->id) && !may_be_ahead)) && poll_early_input(verb->name))
        co_return true;

    // Whatever comes behind RCPTs depends on what the filter makes of them; DATA goes to it in the same breath.
    if (transaction_ && !transaction_->asked.empty() && verb->id != VerbId::rcpt && verb->id != VerbId::data)
        co_await ask_filter(false);
    bool ok = false;
    std::string arguments(command.arguments);
    if (core_.options.filter && (verb->id == VerbId::mail || verb->id == VerbId::rcpt))
        line_ = line;
    switch (verb->id) {
    case VerbId::ehlo:
    case VerbId::helo: ok = co_await helo(verb->id, std::move(arguments)); break;
    case VerbId::starttls: ok = co_await starttls(std::move(arguments)); break;
    case VerbId::mail: ok = co_await mail(std::move(arguments)); break;
    case VerbId::rcpt: ok = co_await rcpt(std::move(arguments)); break;
    case VerbId::data: ok = co_await data(std::move(arguments)); break;
    case VerbId::bdat: ok = co_await bdat(std::move(arguments), line); break;
    case VerbId::vrfy: ok = co_await vrfy(std::move(arguments)); break;
    case VerbId::etrn: ok = co_await etrn(std::move(arguments)); break;
    case VerbId::rset: ok = rset(arguments); break;
    case VerbId::help: ok = help(); break;
    case VerbId::noop:
        say("250 2.0.0 Ok");
        ok = true;
        break;
    case VerbId::quit:
        say("221 2.0.0 Bye");
        end_ = End::quit;
        ok = true;
        break;
    case VerbId::auth: ok = co_await auth(std::move(arguments)); break;
    case VerbId::xclient: ok = co_await xclient(std::move(arguments)); break;
    case VerbId::xforward: ok = co_await xforward(std::move(arguments)); break;
    case VerbId::lhlo:
    case VerbId::expn:
    case VerbId::turn: break;                    // not served: verb is null above
    }
    if (ok)
        tally_.succeeded(verb);
    if (is_junk(verb->id) && junk_++ > core_.pace().junk_command_limit)
        ++errors_;
    co_return ok;
}

void Session::obey(policy::Ruling ruling)
{
    if (ruling.hangup)
        end_ = End::hangup;
    else if (ruling.refused())
        say(ruling.reply, true);
}

// Log lines.

void Session::transcript(char direction, std::string_view text)
{
    for (std::string_view line : split_exact(text, '\n')) {
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        if (!line.empty())
            core_.outside.log.info("{} {}: {}", direction, namaddr(), printable(line, true));
    }
}

std::string Session::mail_for_log(const std::string* recipient) const
{
    std::string text;
    if (facts_.sender)
        text += fmt::format(" from=<{}>", smtp::external_address(*facts_.sender));
    if (recipient != nullptr)
        text += fmt::format(" to=<{}>", smtp::external_address(*recipient));
    text += fmt::format(" proto={}", !core_.options.protocol.empty() ? std::string_view(core_.options.protocol) : esmtp_ ? "ESMTP" : "SMTP");
    if (facts_.helo)
        text += fmt::format(" helo=<{}>", *facts_.helo);
    return text;
}

/// What lines of refusals end with, as in Postfix since 3.10; of a filter before the queue none does.
std::string Session::login_of_refusal() const
{
    return login_ ? fmt::format(" sasl_method={} sasl_username={}", login_->method, login_->username) : std::string();
}

void Session::log_what(std::string_view what, std::string_view text)
{
    log_about(transaction_ ? transaction_->queue_id : std::string_view(), what, text);
}

void Session::log_about(std::string_view queue_id, std::string_view what, std::string_view text)
{
    std::string line = fmt::format("{}: {}: {} from {}: {};", queue_id.empty() ? "NOQUEUE" : queue_id, what, where_, namaddr(), text);
    line += mail_for_log(facts_.recipient ? &*facts_.recipient : nullptr) + login_of_refusal();
    core_.outside.log.info("{}", printable(line, true));
}

void Session::would_refuse(std::string_view restriction, std::string_view reply)
{
    core_.reject_warnings.add({where_, reply.substr(0, 1), restriction});
}

void Session::tried(std::string_view what, handoff::TrialSeen::Outcome outcome, std::string_view reason)
{
    if (!core_.outside.trials)
        return;
    handoff::TrialSeen seen;
    seen.set_tried(std::string(what));
    seen.set_outcome(outcome);
    seen.set_count(1);
    if (outcome != handoff::TrialSeen::PASSED) {
        seen.set_whom(facts_.client_name);
        seen.set_host(facts_.client_address);
        seen.set_reason(std::string(reason));
        handoff::TrialSample& sample = *seen.mutable_sample();
        sample.set_time(core_.outside.clock.wall().time_since_epoch().count());
        sample.set_queue_id(transaction_ ? transaction_->queue_id : "");
        sample.set_peer(facts_.client);
        sample.set_has_sender(facts_.sender.has_value());
        sample.set_sender(facts_.sender.value_or(""));
        sample.set_recipient(facts_.recipient.value_or(""));
    }
    core_.outside.trials->tell(std::move(seen));
}

void Session::refused_by(std::string_view what, std::string_view reply)
{
    core_.note_rejection(where_, reply, what);
    if (!core_.outside.record_rejection)
        return;
    handoff::Rejected rejected;
    rejected.command = where_;
    rejected.reply = reply;
    rejected.by = what;
    rejected.client_name = facts_.client_name;
    rejected.client_address = facts_.client_address;
    if (facts_.helo)
        rejected.helo = *facts_.helo;
    rejected.protocol = facts_.tls && esmtp_ ? "ESMTPS" : esmtp_ ? "ESMTP" : "SMTP";
    if (login_)
        rejected.sasl_username = login_->username;
    if (transaction_)
        rejected.queue_id = transaction_->queue_id;
    if (facts_.sender)
        rejected.sender = *facts_.sender;
    if (facts_.recipient)
        rejected.recipient = *facts_.recipient;
    core_.outside.record_rejection(rejected);
}

policy::SessionFacts Session::session_facts() const
{
    policy::SessionFacts facts;
    facts.state = where_;
    facts.esmtp = esmtp_;
    facts.stress = core_.stressed();
    facts.client_port = client_port_;
    const net::Endpoint* const local = destination_ ? destination_.get() : stream_ ? &stream_->local() : nullptr;
    if (local != nullptr && !local->is_unix()) {
        facts.server_address = local->ip.text();
        facts.server_port = local->port;
    }
    if (transaction_) {
        facts.queue_id = transaction_->queue_id;
        facts.size = transaction_->size;
    } else if (where_ == "MAIL") {
        facts.size = announced_size_;
    }
    // Of a message: until MAIL has been accepted there is none.
    if (transaction_ && instance_ == 0)
        instance_ = ++core_.instances;
    if (instance_ != 0)
        facts.instance = fmt::format("{:x}.{:x}.{:x}", core_.instance_base.first, core_.instance_base.second, instance_);
    if (tls_) {
        facts.encryption_protocol = tls_->protocol;
        facts.encryption_cipher = tls_->cipher;
        facts.encryption_keysize = tls_->bits;
        facts.certificate = tls_->certificate;
    }
    if (login_) {
        facts.sasl_method = login_->method;
        facts.sasl_username = login_->username;
    }
    if (transaction_)
        facts.sasl_sender = transaction_->sasl_sender;
    facts.compatibility_level = core_.options.compatibility_level;
    facts.mail_version = core_.options.mail_version;
    return facts;
}

void Session::log_warning(std::string_view text) { core_.outside.log.warning("{}", printable(text, true)); }

std::string_view Session::abort_reason() const
{
    switch (end_) {
    case End::lost: return "lost connection";
    case End::timeout: return "timeout";
    case End::too_many_errors: return "too many errors";
    default: return {};
    }
}

void Session::log_end()
{
    const std::string_view reason = abort_reason();
    if (reason.empty())
        return;
    std::string line;
    if (core_.options.log_abort_queue_id)
        line = fmt::format("{}: ", transaction_ && !transaction_->queue_id.empty() ? transaction_->queue_id : "NOQUEUE");
    line += fmt::format("{} after {}", reason, where_);
    if (in_content_)
        line += fmt::format(" ({} bytes)", content_octets_);
    core_.outside.log.info("{} from {}", line, namaddr());
}

void Session::tell_postmaster()
{
    if (!record_ || !record_->worth_telling())
        return;
    // A disk that is full fails in every session: one of them a minute says it.
    if (record_->only_ours()) {
        const SteadyTime now = core_.outside.clock.steady();
        if (core_.own_trouble_told != SteadyTime{} && now - core_.own_trouble_told < std::chrono::minutes{1})
            return;
        core_.own_trouble_told = now;
    }
    handoff::SessionNotice notice;
    notice.set_client(namaddr());
    notice.set_transcript(record_->text());
    notice.set_aborted(std::string(abort_reason()));
    notice.set_bounce(record_->bounced());
    core_.outside.postmaster->tell(std::move(notice));
}

}  // namespace posthorn::receive
