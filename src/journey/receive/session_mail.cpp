// MAIL and RCPT.
#include "base/strings.hpp"
#include "base/timestamp.hpp"
#include "handoff/verp.hpp"
#include "receive/session.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::receive {

namespace {

/// A domain beyond ASCII where SMTPUTF8 was not asked for: the next hop could not be told it. A local part is let through, as Postfix does.
bool needs_smtputf8(const smtp::Mailbox& mailbox, bool asked_for)
{
    return !asked_for && std::ranges::any_of(mailbox.domain, [](char c) { return static_cast<unsigned char>(c) >= 128; });
}

}  // namespace

bool Session::needs_helo()
{
    if (!core_.options.helo_required || helo_given_)
        return false;
    say("503 5.5.1 Error: send HELO/EHLO first");
    return true;
}

std::optional<std::string> Session::own_probe_sender(std::string_view address) const
{
    return core_.outside.verifier == nullptr ? std::nullopt : core_.outside.verifier->probe_sender(address);
}

void Session::end_transaction()
{
    if (milters_)
        milters_->chain.abort();
    transaction_.reset();
    forwarded_.reset();
    forwarded_client_ = false;
    facts_.sender.reset();
    facts_.recipient.reset();
    facts_.recipients = 0;
    facts_.sender_deferral.reset();
    spf_.reset();
    instance_ = 0;
}

smtp::CommandOptions Session::command_options() const
{
    smtp::CommandOptions options;
    options.path.strict = core_.options.strict_envelopes;
    options.path.utf8 = core_.options.smtputf8;
    options.dsn = !discarded_.has(smtp::Keyword::dsn);
    options.smtputf8 = core_.options.smtputf8 && !discarded_.has(smtp::Keyword::smtputf8);
    options.strict_smtputf8 = core_.options.strict_smtputf8;
    options.requiretls = core_.options.requiretls && facts_.tls && !discarded_.has(smtp::Keyword::requiretls);   // RFC 8689 2: inside TLS alone
    options.future_release = latest_release_.has_value();
    options.verp = may_verp_ && !discarded_.has(smtp::Keyword::verp);
    return options;
}

/// Who may say when mail is to go. Who hands on what others sent says it for none but our own.
awaitable<bool> Session::may_schedule()
{
    if (forwarded_ && forwarded_->source != "LOCAL")
        co_return false;
    if (login_)
        co_return true;
    if (!release_client_)
        release_client_ = co_await listed(core_.release_clients);
    co_return *release_client_;
}

void Session::say_refused_path(const smtp::Reply& reply, std::string_view verb, std::string_view arguments)
{
    if (!reply.lines.empty() && reply.lines.front().find("address syntax") != std::string::npos) {
        const auto colon = arguments.find(':');
        core_.outside.log.warning("Illegal address syntax from {} in {} command: {}", namaddr(), verb,
                                  printable(trim(colon == std::string_view::npos ? arguments : arguments.substr(colon + 1))));
    }
    say(reply);
}

/// What a path says beside its grammar: user%@ours is user@, which is none. Only where something is left to resolve are tables asked; where they
/// fail, the restrictions say so.
awaitable<bool> Session::is_malformed(std::string address)
{
    const auto at = address.rfind('@');
    if (address.find_first_of("@!%") == at)
        co_return false;
    if (!core_.law.classes.in_memory())
        co_await before_wait();
    const auto found = co_await core_.law.classes.standing(std::move(address));
    co_return found && found->malformed;
}

awaitable<bool> Session::mail(std::string arguments)
{
    if (needs_helo())
        co_return false;
    if (transaction_) {
        say("503 5.5.1 Error: nested MAIL command");
        co_return false;
    }
    if (co_await exceeds(Rates::Event::mail, core_.options.client.mail_rate, "Message delivery request rate")) {
        say(fmt::format("450 4.7.1 Error: too much mail from {}", facts_.client_address));
        co_return false;
    }
    if (core_.draining) {
        say(fmt::format("421 4.3.2 {} Service is shutting down", core_.options.myhostname));
        co_return false;
    }
    if (core_.options.session_mail_limit != 0 && mails_ >= core_.options.session_mail_limit) {
        say(fmt::format("421 4.7.0 {} Error: too many messages in one session", core_.options.myhostname));
        end_ = End::hangup;
        co_return false;
    }
    auto command = smtp::parse_mail(arguments, command_options());
    if (!command) {
        say_refused_path(command.error(), "MAIL", arguments);
        co_return false;
    }
    if (needs_smtputf8(command->reverse_path, command->smtputf8) || co_await is_malformed(command->reverse_path.text())) {
        say_refused_path(smtp::Reply(501, "5.1.7", "Bad sender address syntax"), "MAIL", arguments);
        co_return false;
    }
    if (const auto& verp = command->verp) {
        if (command->reverse_path.text().empty()) {
            say("503 5.5.4 Error: XVERP requires non-null sender");
            co_return false;
        }
        if (!verp->empty() && !handoff::are_verp_delimiters(*verp, core_.options.verp_delimiters)) {
            say(fmt::format("501 5.5.4 Error: XVERP needs two characters from {}", core_.options.verp_delimiters));
            co_return false;
        }
    }
    const bool scheduled = (command->hold || core_.options.scheduling_field) && co_await may_schedule();
    if (const auto& hold = command->hold) {
        if (!scheduled) {
            say("550 5.7.1 Error: HOLDFOR and HOLDUNTIL are not for this client");
            co_return false;
        }
        if (hold->interval > core_.options.release_limit) {
            say(fmt::format("501 5.5.4 Error: HOLDFOR is more than {}", core_.options.release_limit.count()));
            co_return false;
        }
        const WallTime latest = latest_release_.value_or(WallTime{});
        if (hold->until && *hold->until > latest) {
            say(fmt::format("501 5.5.4 Error: HOLDUNTIL is later than {}", timestamp(latest)));
            co_return false;
        }
    }
    announced_size_ = command->size.value_or(0);
    spf_.reset();                                 // a MAIL that was refused may have asked: what could not be known then may be known now
    facts_.sender = command->reverse_path.text();
    if (const auto ours = own_probe_sender(*facts_.sender))
        facts_.sender = *ours;
    const auto refused = [&](std::string_view reply) {
        log_what("reject", reply);
        refused_by("sender", reply);
        say(reply);
        facts_.sender.reset();
        return false;
    };
    policy::Effects effects = early_effects();
    if (!core_.options.policy.delay_reject) {
        policy::Judge judge(core_.law, facts_, effects, *this);
        auto ruling = co_await judge.sender();
        facts_.sender_deferral = judge.deferral();
        if (ruling.refused()) {
            obey(std::move(ruling));
            facts_.sender.reset();
            co_return false;
        }
    }
    if (milters_ && !effects.discard)
        if (const auto reply = co_await milters_on_mail(arguments, effects)) {
            say(*reply, true);
            facts_.sender.reset();
            co_return false;
        }
    const std::uint64_t limit = core_.options.message_size_limit;
    const std::uint64_t size = announced_size_;
    if (limit != 0 && size > limit)
        co_return refused("552 5.3.4 Message size exceeds fixed limit");
    // Room for the message itself, and never less than one and a half of the largest that may come meanwhile.
    const std::uint64_t free = core_.outside.incoming.free_octets();
    const std::uint64_t kept = whole_first() ? limit : 0;
    if (free < core_.options.queue_minfree || free < limit + limit / 2 + kept || free / 3 * 2 < size) {
        core_.outside.log.warning("not enough free space in mail queue: {} bytes < 1.5*message size limit", free);
        co_return refused("452 4.3.1 Insufficient system storage");
    }
    if (!core_.places.begin_transaction())
        co_return refused(fmt::format("421 4.3.2 {} Error: all server ports are busy", core_.options.myhostname));

    transaction_ = std::make_unique<Transaction>(core_.places);
    transaction_->size = size;
    transaction_->effects = std::move(effects);
    ++mails_;
    handoff::Envelope& envelope = transaction_->envelope;
    envelope.set_sender(*facts_.sender);
    envelope.set_arrival(core_.outside.clock.wall().time_since_epoch().count());
    envelope.set_body(command->body == smtp::Body::eight_bit_mime ? handoff::BODY_8BIT
                      : command->body == smtp::Body::binary_mime  ? handoff::BODY_BINARY
                                                                  : handoff::BODY_7BIT);
    envelope.set_smtputf8(command->smtputf8);
    envelope.set_requiretls(command->requiretls);
    envelope.set_ret(command->ret == smtp::Ret::full   ? handoff::RET_FULL
                     : command->ret == smtp::Ret::hdrs ? handoff::RET_HDRS
                                                       : handoff::RET_UNSPECIFIED);
    if (const auto& envid = command->envid; envid)
        envelope.set_envid(*envid);
    envelope.set_may_schedule(scheduled);
    if (const auto& hold = command->hold) {
        handoff::Release& release = *envelope.mutable_release();
        release.set_not_before(hold->until ? WallTime{*hold->until}.time_since_epoch().count()
                                           : envelope.arrival() + std::chrono::microseconds{hold->interval}.count());
        release.set_request(smtp::text(*hold));
    }
    if (const auto& verp = command->verp; verp)
        envelope.set_verp(verp->empty() ? core_.options.verp_default : *verp);
    handoff::Client& client = *envelope.mutable_client();
    client.set_name(facts_.client_name);
    client.set_address(facts_.client_address);
    client.set_port(client_port_);
    client.set_reverse_name(facts_.client_reverse_name);
    client.set_helo(facts_.helo.value_or(""));
    client.set_protocol(!core_.options.protocol.empty() ? core_.options.protocol
                                                        : fmt::format("{}{}",
                                                                      command->smtputf8 ? "UTF8SMTP"
                                                                      : esmtp_          ? "ESMTP"
                                                                                        : "SMTP",
                                                                      facts_.tls && esmtp_ ? "S" : ""));
    if (tls_)
        client.set_tls_summary(tls_->received_text);
    if (login_) {
        client.set_sasl_method(login_->method);
        client.set_sasl_username(login_->username);
        envelope.set_account("login:" + login_->username);
    }
    if (const auto& vouched = command->auth; vouched && *vouched != "<>")
        client.set_sasl_sender(transaction_->sasl_sender = *vouched);
    if (destination_) {
        client.set_server_address(destination_->ip.text());
        client.set_server_port(destination_->port);
    } else if (!stream_->local().is_unix()) {
        client.set_server_address(stream_->local().ip.text());
        client.set_server_port(stream_->local().port);
    }
    if (forwarded_) {
        handoff::Origin& said = *envelope.mutable_origin();
        said.set_name(forwarded_->name);
        said.set_address(forwarded_->address);
        said.set_port(forwarded_->port);
        said.set_protocol(forwarded_->protocol);
        said.set_helo(forwarded_->helo);
        said.set_ident(forwarded_->ident);
        said.set_source(forwarded_->source);
    }
    if (core_.options.filter) {
        transaction_->mail_command = printable(line_, true);
        if (std::exchange(command->requiretls, false))              // whether the filter hears of it is seen when it has said what it offers
            transaction_->mail_command = printable(smtp::write(*command), true);
    }
    if (core_.options.queue_id_at_mail && !has_queue_id()) {
        end_transaction();
        co_return false;
    }
    say("250 2.1.0 Ok");
    co_return true;
}

/// The transaction's; false: there is none to be had, and that was said. What goes to a filter has none of ours.
bool Session::has_queue_id()
{
    if (!transaction_->queue_id.empty() || core_.options.filter)
        return true;
    const auto id = core_.outside.queue.next_queue_id();
    if (!id) {
        log_what("reject", "451 4.3.0 Error: queue file write error");
        refused_by("queue", "451");
        say("451 4.3.0 Error: queue file write error");
        return false;
    }
    transaction_->envelope.set_queue_id(*id);
    transaction_->queue_id = *id;
    log_client(*id);
    return true;
}

awaitable<bool> Session::rcpt(std::string arguments)
{
    if (!transaction_) {
        say("503 5.5.1 Error: need MAIL command");
        co_return false;
    }
    if (transaction_->content || transaction_->chunks_failed) {
        say("503 5.5.1 Error: RCPT after BDAT");
        co_return false;
    }
    if (co_await exceeds(Rates::Event::rcpt, core_.options.client.recipient_rate, "Recipient address rate")) {
        say(fmt::format("450 4.7.1 Error: too many recipients from {}", facts_.client_address));
        co_return false;
    }
    auto command = smtp::parse_rcpt(arguments, command_options());
    if (!command) {
        say_refused_path(command.error(), "RCPT", arguments);
        co_return false;
    }
    if (core_.options.strict_smtputf8 && !transaction_->envelope.smtputf8() && command->forward_path.internationalized()) {
        say("553 5.6.7 Must declare SMTPUTF8 to send unicode address");
        co_return false;
    }
    if (needs_smtputf8(command->forward_path, transaction_->envelope.smtputf8()) || co_await is_malformed(command->forward_path.text())) {
        say_refused_path(smtp::Reply(501, "5.1.3", "Bad recipient address syntax"), "RCPT", arguments);
        co_return false;
    }
    if (facts_.recipients >= core_.options.recipient_limit) {
        say("452 4.5.3 Error: too many recipients");
        co_return transaction_->overshoot++ < core_.options.recipient_overshoot_limit;
    }
    facts_.recipient = command->forward_path.text();
    facts_.verify_patience = core_.pace().verify_patience;
    // Another server verifies the sender of our probes: were it probed in turn, two servers would wait for each other.
    if (const auto ours = own_probe_sender(*facts_.recipient)) {
        facts_.recipient = *ours;
    } else {
        co_await verify_group(*facts_.recipient);
        policy::Judge judge(core_.law, facts_, transaction_->effects, *this);
        auto ruling = co_await judge.recipient();
        if (ruling.refused()) {
            if (asks_milters() && !ruling.hangup && milters_->chain.hears_refused_recipients())
                co_await milters_on_refused_recipient(std::move(arguments), ruling.reply);
            obey(std::move(ruling));
            facts_.recipient.reset();
            co_return false;
        }
    }
    if (asks_milters())
        if (const auto refused = co_await milters_on_recipient(arguments)) {
            say(*refused, true);
            facts_.recipient.reset();
            co_return false;
        }
    handoff::Envelope& envelope = transaction_->envelope;
    if (!has_queue_id()) {
        facts_.recipient.reset();
        co_return false;
    }
    handoff::Recipient& recipient = *envelope.add_recipients();
    recipient.set_index(static_cast<std::uint32_t>(envelope.recipients_size() - 1));
    recipient.set_address(*facts_.recipient);
    // The final dot of a domain is no part of the address (smtp/path), and of what was said: the log and X-Original-To have it.
    if (std::string said = smtp::external_address(*facts_.recipient) + "."; arguments.find("<" + said + ">") != std::string::npos)
        recipient.set_original(std::move(said));
    if (const auto& orcpt = command->orcpt; orcpt)
        recipient.set_orcpt(orcpt->type + ";" + orcpt->address);
    const smtp::Notify& notify = command->notify;
    recipient.set_notify((notify.never ? handoff::NOTIFY_NEVER : 0U) | (notify.success ? handoff::NOTIFY_SUCCESS : 0U) |
                         (notify.failure ? handoff::NOTIFY_FAILURE : 0U) | (notify.delay ? handoff::NOTIFY_DELAY : 0U));
    ++facts_.recipients;
    const std::string address = std::exchange(facts_.recipient, std::nullopt).value_or("");
    if (core_.options.filter)
        co_return ask_filter_for(printable(line_, true), address);
    say("250 2.1.5 Ok");
    co_return true;
}

}  // namespace posthorn::receive
