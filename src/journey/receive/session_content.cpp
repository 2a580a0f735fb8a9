// DATA and BDAT: content comes in, and 250 is said when the queue has it.
#include "base/strings.hpp"
#include "handoff/requiretls_field.hpp"
#include "receive/received.hpp"
#include "receive/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace posthorn::receive {

namespace {

// Octets taken to the content at a time: few resumptions, little memory.
constexpr std::size_t batch_octets = 32 * 1024;

}  // namespace

bool Session::refuse_content(const handoff::Refusal& refusal)
{
    refuse_content(refusal, transaction_ ? transaction_->queue_id : std::string_view());
    return false;
}

void Session::refuse_content(const handoff::Refusal& refusal, std::string_view queue_id)
{
    const std::string reply = fmt::format("{} {} {}", refusal.code, refusal.status, refusal.text);
    if (!refusal.logged)
        log_about(queue_id, "reject", reply);
    refused_by("content", reply);
    say(reply);
}

/// What the queue says of an account is no trouble of ours: the line that says it was refused says it.
void Session::warn_of(std::string_view queue_id, const Error& error)
{
    if (error.status() != "4.7.1" && error.status() != "5.7.1")
        core_.outside.log.warning("{}: {}", queue_id, error.text());
}

void Session::warn_of(const Content& content)
{
    if (!content.trouble().empty())
        core_.outside.log.warning("{}: {}", content.envelope().queue_id(), content.trouble());
}

std::unique_ptr<Content> Session::begin_content()
{
    handoff::Envelope& envelope = transaction_->envelope;
    policy::Effects& effects = transaction_->effects;
    ReceivedFacts facts;
    facts.helo = facts_.helo.value_or("");
    facts.client_name = facts_.client_name;
    facts.client_address = facts_.client_address;
    if (core_.options.tls_received && tls_) {
        facts.tls = tls_->received_text;
        facts.certificate_asked = core_.options.tls_ask_certificate;
        facts.certificate = tls_->certificate;
    }
    facts.myhostname = core_.options.myhostname;
    facts.mail_name = core_.options.mail_name;
    facts.protocol = envelope.client().protocol() + (login_ && esmtp_ && core_.options.protocol.empty() ? "A" : "");              // RFC 3848
    if (login_ && core_.options.sasl.in_received)
        facts.login = login_->username;
    facts.queue_id = envelope.queue_id();
    if (envelope.recipients_size() == 1)
        facts.only_recipient = smtp::mailbox_of(envelope.recipients(0).address()).quoted();
    facts.hide_client = core_.options.hide_client_session;
    facts.when = WallTime{std::chrono::microseconds{envelope.arrival()}};

    std::string ours;
    for (const std::string& line : effects.prepend)
        ours += line + "\r\n";
    if (!core_.options.filter || !forwarded_)             // amid filters it is no hop of its own
        ours += received_field(facts);
    if (core_.options.filter) {
        if (envelope.requiretls() && core_.options.requiretls_header)
            ours += handoff::requiretls_field;                    // cleanup, which adds it to other mail, is behind the filter
        IncomingFolder* folder = transaction_->filter.get();
        if (whole_first()) {
            const auto name = core_.outside.queue.next_queue_id();         // of a file, if it comes to that
            envelope.set_queue_id(name.value_or(""));
            folder = &core_.outside.incoming;
        }
        return std::make_unique<Content>(envelope, std::move(ours), Content::Limits{core_.options.message_size_limit}, core_.ceiling, core_.as_it_is,
                                         *folder);
    }

    envelope.set_hold(effects.hold);
    envelope.set_redirect(effects.redirect);
    envelope.set_filter(effects.filter.empty() ? core_.options.content_filter : effects.filter);
    effects.redirect.clear();                             // said; what the lists after the content find comes on top
    effects.filter.clear();
    for (const std::string& address : effects.bcc) {
        handoff::Recipient& recipient = *envelope.add_recipients();
        recipient.set_index(static_cast<std::uint32_t>(envelope.recipients_size() - 1));
        recipient.set_address(address);
        recipient.set_notify(handoff::NOTIFY_NEVER);
    }
    return std::make_unique<Content>(std::move(envelope), std::move(ours), Content::Limits{core_.options.message_size_limit}, core_.ceiling,
                                     core_.outside.cleaner, core_.outside.incoming);
}

awaitable<bool> Session::data(std::string arguments)
{
    // Restrictions at DATA want to know the recipients first.
    std::optional<std::string> filter_says;
    if (transaction_ && !transaction_->asked.empty()) {
        const bool plain = trim(arguments).empty() && core_.options.policy.lists.data.empty();
        filter_says = co_await ask_filter(plain);
    }
    if (transaction_ && (transaction_->content || transaction_->chunks_failed)) {
        say("503 5.5.1 Error: DATA after BDAT");
        co_return false;
    }
    if (facts_.recipients == 0) {
        say(transaction_ ? "554 5.5.1 Error: no valid recipients" : "503 5.5.1 Error: need RCPT command");
        co_return false;
    }
    if (!trim(arguments).empty()) {
        say("501 5.5.4 Syntax: DATA");
        co_return false;
    }
    {
        if (facts_.recipients == 1)
            facts_.recipient = transaction_->envelope.recipients(0).address();
        policy::Judge judge(core_.law, facts_, transaction_->effects, *this);
        auto ruling = co_await judge.data();
        if (ruling.refused()) {
            facts_.recipient.reset();
            obey(std::move(ruling));
            co_return false;
        }
    }
    if (asks_milters())
        if (const auto refused = co_await milters_on_data()) {
            facts_.recipient.reset();
            say(*refused, true);
            co_return false;
        }
    if (core_.options.filter && !whole_first()) {
        if (!filter_says)
            filter_says = co_await ask_filter(true);
        if (!filter_says || !filter_says->empty()) {
            say(filter_says ? *filter_says : BeforeQueue::trouble);
            co_return false;
        }
    }
    auto content = begin_content();
    if (core_.options.checks.any())
        co_await begin_checks(*content);
    say("354 End data with <CR><LF>.<CR><LF>");

    smtp::ContentOptions content_options;
    content_options.bare_lf = bare_newline_ == BareNewline::no       ? smtp::BareLf::no
                              : bare_newline_ == BareNewline::reject ? smtp::BareLf::reject
                                                                     : smtp::BareLf::normalize;
    content_options.stray_cr = core_.options.stray_cr;
    smtp::DataReader reader(content_options);
    std::string batch;
    in_content_ = true;
    content_octets_ = 0;
    start_request();
    for (bool whole = false; !whole;) {
        if (input_.empty()) {
            if (!batch.empty())
                co_await content->add(std::exchange(batch, {}));
            if (!co_await fill(content->room()))
                co_return false;
        }
        std::string_view octets = input_.view();
        const std::size_t before = octets.size();
        std::string* const body = batch.empty() ? content->body() : nullptr;
        if (!body)
            batch.reserve(batch.size() + before + 2);              // a line end that the client left out
        const std::size_t held = body ? body->size() : 0, gathered = batch.size();
        whole = reader.feed(octets, body ? *body : batch);
        if (transaction_->checks)
            transaction_->checks->add(body ? std::string_view(*body).substr(held) : std::string_view(batch).substr(gathered));
        input_.consume(before - octets.size());
        const std::uint64_t count = reader.octets();
        // The count goes back where what looked like content was the final dot.
        if (count > content_octets_)
            earn_time(count - content_octets_);
        content_octets_ = count;
        if (body) {
            if (content->added(body->size() - held))
                co_await content->write();
        } else if (batch.size() >= batch_octets || whole)
            co_await content->add(std::exchange(batch, {}));
    }
    in_content_ = false;
    where_ = "END-OF-MESSAGE";
    transaction_->size = content_octets_;
    co_return co_await accept(std::move(content), "250 2.0.0 Ok: queued as", reader.bare_lf(), smtp::verb(smtp::VerbId::data));
}

// The message is whole. Whatever happens, the transaction ends with this reply.
awaitable<bool> Session::accept(std::unique_ptr<Content> content, std::string ok_prefix, bool bare_lf, const smtp::Verb& verb)
{
    if (bare_lf) {
        bare_lf_seen_ = true;
        if (bare_newline_ == BareNewline::reject)
            content->refuse(handoff::Refusal{core_.options.bare_newline_reject_code, "5.5.2",
                                             fmt::format("{} Error: bare <LF> received", core_.options.myhostname)});
    }
    if (core_.options.filter)
        co_return co_await accept_by_filter(std::move(content));
    co_await content->finish();
    if (!content->refusal()) {
        policy::Judge judge(core_.law, facts_, transaction_->effects, *this);
        auto ruling = co_await judge.end_of_data();
        if (ruling.refused()) {
            obey(std::move(ruling));
            end_transaction();
            co_return false;
        }
    }
    if (transaction_->checks && !content->refusal() && !content->discard()) {
        if (!co_await flush()) {
            end_transaction();
            co_return false;
        }
        co_await conclude_checks(*content);
    }
    if (asks_milters() && !content->refusal() && !content->discard()) {
        if (!co_await flush()) {                          // replies to what came before leave before a wait
            end_transaction();
            co_return false;
        }
        co_await show_to_milters(*content);
        if (const std::string refused = std::exchange(milters_->refusal_of_message, {}); !refused.empty()) {
            say(refused);
            end_transaction();
            co_return false;
        }
    }
    const bool discard = transaction_->effects.discard || content->discard() || (milters_ && content->envelope().recipients().empty());
    if (may_be_signed(core_, transaction_->sealing.get()) && !content->refusal() && !discard) {
        if (!co_await flush()) {
            end_transaction();
            co_return false;
        }
        co_await sign_content(core_, *content, transaction_->sealing.get());
    }
    const bool meanwhile = !discard && may_read_on(*content);
    if (!content->refusal() && !discard && !meanwhile) {
        if (!co_await flush()) {
            end_transaction();
            co_return false;
        }
        co_await content->seal();
    }
    if (const std::optional<handoff::Refusal>& refusal = content->refusal()) {
        warn_of(*content);
        refuse_content(*refusal);
        end_transaction();
        co_return false;
    }
    if (login_ && core_.outside.account_limits && !discard && !co_await ask_account_limits()) {
        end_transaction();
        co_return false;
    }
    std::chrono::milliseconds patience = handoff::no_patience;
    if (!core_.delivery_answer_domains.empty() && !discard)
        patience = co_await patience_with_delivery(*content);
    // HOLD, REDIRECT and FILTER may also come from the lists evaluated after the content began.
    handoff::Envelope envelope = content->take_envelope();
    envelope.set_account_limits(std::move(transaction_->account_limits));
    const std::string queue_id = envelope.queue_id();
    if (!discard) {
        const policy::Effects& effects = transaction_->effects;
        if (effects.hold)
            envelope.set_hold(true);
        if (!effects.redirect.empty())
            envelope.set_redirect(effects.redirect);
        if (!effects.filter.empty())
            envelope.set_filter(effects.filter);
        if (meanwhile) {
            store_meanwhile(std::move(envelope), std::move(content), fmt::format("{} {}", ok_prefix, queue_id), patience, verb);
            co_return true;
        }
        const auto stored = co_await core_.outside.queue.enqueue(std::move(envelope), content->take_content(), patience);
        if (!stored) {
            content->refused(stored.error());
            warn_of(queue_id, stored.error());
            refuse_content(refusal_of(stored.error()));
            end_transaction();
            co_return false;
        }
        content->committed();
        if (const std::optional<handoff::Refusal>& refusal = *stored) {
            refuse_content(*refusal);
            end_transaction();
            co_return false;
        }
    }
    ++core_.accepted;
    if (record_)
        record_->forgive();
    errors_ = junk_ = 0;                                  // they are counted between one mail and the next
    end_transaction();
    say(fmt::format("{} {}", ok_prefix, queue_id));
    co_return true;
}

/// How long this client waits for what delivery says; zero: not at all. A table that fails costs nobody the mail: it is taken as ever.
awaitable<std::chrono::milliseconds> Session::patience_with_delivery(const Content& content)
{
    const tables::MatchList& domains = core_.delivery_answer_domains;
    if (core_.closing || transaction_->effects.hold || content.envelope().hold())
        co_return handoff::no_patience;
    std::set<std::string> named;
    for (const handoff::Recipient& recipient : content.envelope().recipients()) {
        if (recipient.notify() == handoff::NOTIFY_NEVER)       // copies for others: the sender hears nothing of them
            continue;
        const std::string& address = recipient.original().contains('@') ? recipient.original() : recipient.address();
        named.insert(to_lower(std::string_view(address).substr(address.rfind('@') + 1)));
    }
    for (const std::string& domain : named) {
        const auto found = co_await domains.ask(domain);
        if (!found || !*found)
            co_return handoff::no_patience;
    }
    co_return named.empty() ? handoff::no_patience : core_.options.delivery_answer_limit;
}

/// What account_limit_maps says of who authenticated; false: it cannot be known now, which was said, or the client is gone.
awaitable<bool> Session::ask_account_limits()
{
    if (!co_await flush())
        co_return false;
    auto found = co_await core_.outside.account_limits(login_->username);
    if (!found) {
        refuse_content({451, "4.3.0", "Temporary lookup failure"});
        co_return false;
    }
    transaction_->account_limits = *std::move(found);
    co_return true;
}

// Reads and drops the octets of a refused chunk: they are content, whatever they look like.
awaitable<bool> Session::skip_chunk(std::uint64_t octets)
{
    in_content_ = true;
    content_octets_ = 0;
    start_request();
    while (octets > 0) {
        if (input_.empty() && !co_await fill())
            co_return false;
        const std::size_t now = static_cast<std::size_t>(std::min<std::uint64_t>(octets, input_.view().size()));
        input_.consume(now);
        octets -= now;
        content_octets_ += now;
        earn_time(now);
    }
    in_content_ = false;
    co_return true;
}

/// Before a command is refused that was not even looked at: where it is BDAT, its octets are behind it.
awaitable<bool> Session::skip_refused_chunk(smtp::Command command)
{
    if (!command.verb || !command.verb->octets_follow)
        co_return true;
    const auto chunk = smtp::parse_bdat(command.arguments);
    co_return !chunk || co_await skip_chunk(chunk->octets);
}

awaitable<bool> Session::bdat(std::string arguments, std::string line)
{
    const auto chunk = smtp::parse_bdat(arguments);
    if (!chunk) {
        core_.outside.log.warning("{}: malformed BDAT command syntax from {}: {}",
                                  transaction_ && !transaction_->queue_id.empty() ? transaction_->queue_id : "NOQUEUE", namaddr(),
                                  printable(std::string_view(line).substr(0, 100)));
        say(chunk.error());
        co_return false;
    }
    if (facts_.recipients == 0 || discarded_.has(smtp::Keyword::chunking)) {
        const bool known = transaction_ != nullptr;
        if (!co_await skip_chunk(chunk->octets))
            co_return false;
        say(discarded_.has(smtp::Keyword::chunking) ? "502 5.5.1 Error: command not implemented"
            : known                                 ? "554 5.5.1 Error: no valid recipients"
                                                    : "503 5.5.1 Error: need RCPT command");
        co_return false;
    }
    Transaction& transaction = *transaction_;
    if (transaction.chunks_failed) {
        if (!co_await skip_chunk(chunk->octets))
            co_return false;
        say(fmt::format("551 5.0.0 Discarded {} bytes after earlier error", chunk->octets));
        co_return false;
    }
    if (!transaction.data_checked) {
        transaction.data_checked = true;
        if (facts_.recipients == 1)
            facts_.recipient = transaction.envelope.recipients(0).address();
        policy::Judge judge(core_.law, facts_, transaction.effects, *this);
        auto ruling = co_await judge.data();
        if (ruling.refused()) {
            transaction.chunks_failed = true;
            if (ruling.hangup) {
                end_ = End::hangup;
                co_return false;
            }
            if (!co_await skip_chunk(chunk->octets))
                co_return false;
            obey(std::move(ruling));
            co_return false;
        }
        if (asks_milters())
            if (const auto refused = co_await milters_on_data()) {
                transaction.chunks_failed = true;
                if (!co_await skip_chunk(chunk->octets))
                    co_return false;
                say(*refused, true);
                co_return false;
            }
        if (core_.options.filter && !whole_first()) {
            const auto filter_says = co_await ask_filter(true);
            if (!filter_says || !filter_says->empty()) {
                transaction.chunks_failed = true;
                if (!co_await skip_chunk(chunk->octets))
                    co_return false;
                say(filter_says ? *filter_says : BeforeQueue::trouble);
                co_return false;
            }
        }
    }
    const std::uint64_t limit = core_.options.message_size_limit;
    if (limit != 0 && (chunk->octets > limit || transaction.chunk_octets > limit - chunk->octets)) {
        transaction.chunks_failed = true;
        transaction.content.reset();
        if (!co_await skip_chunk(chunk->octets))
            co_return false;
        co_return refuse_content(handoff::Refusal{552, "5.3.4", "Chunk exceeds message size limit"});
    }
    if (!transaction.content) {
        transaction.content = begin_content();
        if (core_.options.checks.any())
            co_await begin_checks(*transaction.content);
        transaction.line_ends = std::make_unique<smtp::LineEnds>(core_.options.stray_cr);
    }

    in_content_ = true;
    content_octets_ = 0;
    start_request();
    std::string batch;
    for (std::uint64_t left = chunk->octets; left > 0;) {
        if (input_.empty()) {
            if (!batch.empty())
                co_await transaction.content->add(std::exchange(batch, {}));
            if (!co_await fill(transaction.content->room()))
                co_return false;
        }
        const std::string_view octets = input_.view().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left, input_.view().size())));
        std::string* const body = batch.empty() ? transaction.content->body() : nullptr;
        const std::size_t held = body ? body->size() : 0, gathered = batch.size();
        transaction.line_ends->feed(octets, body ? *body : batch);
        if (transaction.checks)
            transaction.checks->add(body ? std::string_view(*body).substr(held) : std::string_view(batch).substr(gathered));
        left -= octets.size();
        content_octets_ += octets.size();
        earn_time(octets.size());
        input_.consume(octets.size());
        if (body) {
            if (transaction.content->added(body->size() - held))
                co_await transaction.content->write();
        } else if (batch.size() >= batch_octets)
            co_await transaction.content->add(std::exchange(batch, {}));
    }
    in_content_ = false;
    transaction.chunk_octets += chunk->octets;
    if (chunk->last) {
        const std::size_t gathered = batch.size();
        transaction.line_ends->finish(batch);
        if (transaction.checks)
            transaction.checks->add(std::string_view(batch).substr(gathered));
    }
    if (!batch.empty())
        co_await transaction.content->add(std::move(batch));

    if (!chunk->last) {
        if (const std::optional<handoff::Refusal> refusal = transaction.content->refusal()) {
            warn_of(*transaction.content);
            transaction.chunks_failed = true;
            transaction.content.reset();
            co_return refuse_content(*refusal);
        }
        say(fmt::format("250 2.0.0 Ok: {} bytes", chunk->octets));
        co_return true;
    }
    where_ = "END-OF-MESSAGE";
    const bool bare_lf = transaction.line_ends->bare_lf();
    transaction.size = transaction.chunk_octets;
    const std::string ok = fmt::format("250 2.0.0 Ok: {} bytes queued as", transaction.chunk_octets);
    co_return co_await accept(std::move(transaction.content), ok, bare_lf, smtp::verb(smtp::VerbId::bdat));
}

}  // namespace posthorn::receive
