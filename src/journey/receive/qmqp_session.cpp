#include "receive/qmqp_session.hpp"

#include "base/strings.hpp"
#include "handoff/verp.hpp"
#include "message/header.hpp"
#include "receive/received.hpp"
#include "receive/signing.hpp"
#include "smtp/data.hpp"
#include "smtp/path.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace posthorn::receive {

namespace {

// Of the content, changed to stored form at a time.
constexpr std::size_t stored_at_once = 32 * 1024;
// A client that is refused before it has said all: so long, and so much, is waited for that it reads why.
constexpr std::chrono::seconds parting_time{5};
constexpr std::size_t parting_octets = 1 << 20;

/// Fit for an envelope, a log line and an SMTP command.
bool is_fit(std::string_view address)
{
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    return std::ranges::none_of(address, is_control) && is_valid_utf8(address);
}

/// One of the process' places for messages on their way in.
struct Place {
    explicit Place(Places& in) : places(in) {}
    Place(Place&&) = delete;
    ~Place() { places.end_transaction(); }
    Places& places;
};

}  // namespace

QmqpSession::QmqpSession(Server::Core& core, std::unique_ptr<net::Stream> stream)
    : core_(core), stream_(std::move(stream)), packet_({.content = core.options.message_size_limit, .address = core.options.line_length_limit}),
      share_(core.ceiling)
{
    const net::Endpoint& peer = stream_->peer();
    address_ = peer.is_unix() ? "127.0.0.1" : peer.ip.text();
    port_ = peer.port;
}

awaitable<void> QmqpSession::run()
{
    stream_->expires_after(core_.options.qmqp.timeout);
    client_ = co_await look_up_client(core_.outside.names, address_, core_.outside.log);
    namaddr_ = fmt::format("{}[{}]", client_.name, address_);
    if (core_.options.qmqp.port_logging)
        namaddr_ += fmt::format(":{}", port_);
    core_.outside.log.info("connect from {}", namaddr_);
    co_await converse();
    core_.outside.log.info("disconnect from {}", namaddr_);
    co_await part();
}

awaitable<void> QmqpSession::converse()
{
    const auto allowed = co_await core_.qmqp_clients.ask(client_.name, address_);
    if (!allowed) {
        core_.outside.log.warning("{}", allowed.error().text());
        co_return co_await answer(Kind::later, "Error: server configuration error");
    }
    if (!*allowed) {
        const std::string text = fmt::format("Error: {} is not authorized to use this service", namaddr_);
        core_.note_rejection(handoff::Rejected{.command = "CONNECT",
                                               .reply = "554 " + text,
                                               .by = "qmqpd_authorized_clients",
                                               .client_name = client_.name,
                                               .client_address = address_,
                                               .protocol = handoff::qmqp_protocol});
        co_return co_await answer(Kind::never, text);
    }
    if (core_.draining || core_.closing)
        co_return co_await answer(Kind::later, "Error: service is shutting down");
    if (!core_.places.begin_transaction())
        co_return co_await answer(Kind::later, "Error: all server ports are busy");
    const Place place(core_.places);
    arrival_ = core_.outside.clock.wall().time_since_epoch().count();
    auto id = core_.outside.queue.next_queue_id();
    if (!id)
        co_return co_await answer(Kind::later, "Error: queue file write error");
    queue_id_ = *std::move(id);
    core_.outside.log.info("{}: client={}", queue_id_, namaddr_);
    if (co_await read())
        co_await take();
}

void QmqpSession::broken(std::string_view reason) { core_.outside.log.info("{}: {}: {} while {}", queue_id_, namaddr_, reason, where_); }

/// The packet. False: that has ended the session.
awaitable<bool> QmqpSession::read()
{
    std::string room(16 * 1024, '\0');
    for (;;) {
        stream_->expires_after(core_.options.qmqp.timeout);
        const auto got = co_await stream_->read_some(room);
        where_ = fmt::format("receiving {}", to_text(packet_.part()));
        if (!got || *got == 0) {
            broken(!got && got.error().what() == "conversation timed out" ? "read/write timeout" : "lost connection");
            co_return false;
        }
        std::string_view octets = std::string_view(room).substr(0, *got);
        const auto whole = packet_.feed(octets);
        if (!whole) {
            where_ = fmt::format("receiving {}", to_text(packet_.part()));
            const std::string_view reason =
                whole.error() == QmqpPacket::Fault::size ? "netstring length exceeds storage limit" : "netstring format error";
            co_await answer(Kind::never, fmt::format("{} while {}", reason, where_));
            broken(reason);
            co_return false;
        }
        if (!share_.set(packet_.held())) {
            core_.outside.log.warning("{}: {}", queue_id_, share_.limit_text());
            co_await refuse({452, "4.3.1", "Insufficient system storage"});
            co_return false;
        }
        if (*whole)
            co_return true;
    }
}

handoff::Envelope QmqpSession::envelope() const
{
    handoff::Envelope envelope;
    QmqpReturnPath path = qmqp_return_path(packet_.sender());
    envelope.set_queue_id(queue_id_);
    envelope.set_arrival(arrival_);
    envelope.set_sender(std::move(path.sender));
    envelope.set_verp(std::move(path.verp));
    envelope.set_body(message::has_8bit(packet_.content()) ? handoff::BODY_8BIT : handoff::BODY_7BIT);
    envelope.set_filter(core_.options.content_filter);
    for (const std::string& address : packet_.recipients()) {
        handoff::Recipient& recipient = *envelope.add_recipients();
        recipient.set_index(static_cast<std::uint32_t>(envelope.recipients_size() - 1));
        recipient.set_address(address);
    }
    handoff::Client& client = *envelope.mutable_client();
    client.set_name(client_.name);
    client.set_address(address_);
    client.set_port(port_);
    client.set_reverse_name(client_.reverse_name);
    client.set_protocol(std::string(handoff::qmqp_protocol));
    if (!stream_->local().is_unix()) {
        client.set_server_address(stream_->local().ip.text());
        client.set_server_port(stream_->local().port);
    }
    return envelope;
}

std::unique_ptr<Content> QmqpSession::begin_content(handoff::Envelope envelope)
{
    ReceivedFacts facts;
    facts.client_name = client_.name;
    facts.client_address = address_;
    facts.myhostname = core_.options.myhostname;
    facts.mail_name = core_.options.mail_name;
    facts.protocol = handoff::qmqp_protocol;
    facts.queue_id = queue_id_;
    facts.fold_before_id = true;
    if (envelope.recipients_size() == 1) {
        facts.only_recipient = smtp::mailbox_of(envelope.recipients(0).address()).quoted();
        if (facts.only_recipient.empty())
            facts.only_recipient = "\"\"";
    }
    facts.when = WallTime{std::chrono::microseconds{arrival_}};
    return std::make_unique<Content>(std::move(envelope), received_field(facts), Content::Limits{core_.options.message_size_limit}, core_.ceiling,
                                     core_.outside.cleaner, core_.outside.incoming);
}

/// The packet becomes a message, and the client hears what became of it.
awaitable<void> QmqpSession::take()
{
    where_ = "sending completion status";
    if (!is_fit(packet_.sender()) || !std::ranges::all_of(packet_.recipients(), is_fit))
        co_return co_await refuse({501, "5.1.3", "Error: bad address syntax"});
    handoff::Envelope made = envelope();
    if (!made.verp().empty() && !handoff::are_verp_delimiters(made.verp(), core_.options.verp_delimiters))
        co_return co_await refuse(
            {501, "5.5.4",
             fmt::format("Error: Invalid VERP delimiters: \"{}\". Need two characters from \"{}\"", made.verp(), core_.options.verp_delimiters)});
    if (made.recipients().empty())
        co_return co_await refuse({554, "5.5.1", "Error: no recipients specified"});
    const auto content = begin_content(std::move(made));
    smtp::LineEnds line_ends(core_.options.stray_cr);
    for (std::string_view rest = packet_.content(); !rest.empty() && !content->refusal(); rest.remove_prefix(std::min(rest.size(), stored_at_once))) {
        std::string stored;
        line_ends.feed(rest.substr(0, stored_at_once), stored);
        co_await content->add(std::move(stored));
    }
    std::string end;
    line_ends.finish(end);
    if (!end.empty())
        co_await content->add(std::move(end));
    co_await content->finish();
    co_await pass_on(*content);
}

awaitable<void> QmqpSession::pass_on(Content& content)
{
    if (core_.outside.other_filters != nullptr && !content.refusal() && !content.discard())
        co_await show(content);
    const bool discard = content.discard() || content.envelope().recipients().empty();
    if (may_be_signed(core_, nullptr) && !content.refusal() && !discard)
        co_await sign_content(core_, content, nullptr);
    if (!discard)
        co_await content.seal();
    if (!content.trouble().empty())
        core_.outside.log.warning("{}: {}", queue_id_, content.trouble());
    if (const auto& refusal = content.refusal())
        co_return co_await refuse(*refusal);
    if (!discard) {
        const auto stored = co_await core_.outside.queue.enqueue(content.take_envelope(), content.take_content(), handoff::no_patience);
        if (!stored) {
            content.refused(stored.error());
            core_.outside.log.warning("{}: {}", queue_id_, stored.error().text());
            co_return co_await refuse(refusal_of(stored.error()));
        }
        content.committed();
    }
    ++core_.accepted;
    co_await answer(Kind::taken, fmt::format("Ok: queued as {}", queue_id_));
}

/// To filters, and what they make of it takes its place.
awaitable<void> QmqpSession::show(Content& content)
{
    auto shown = co_await core_.outside.other_filters->show(
        content.envelope(), content.stored(), [&content](std::uint64_t offset, std::size_t most) { return content.read(offset, most); });
    if (!shown)
        co_return content.refuse(std::move(shown).error());
    if (shown->discard)
        shown->envelope.clear_recipients();
    content.set_envelope(std::move(shown->envelope));
    if (auto head = std::move(shown->head); head && !content.envelope().recipients().empty())
        co_await content.rewrite(*std::move(head), shown->old_head, std::move(shown->body));
}

/// A refusal in Postfix's words: its own texts without a status, and those of filters and checks behind one.
awaitable<void> QmqpSession::refuse(handoff::Refusal refusal)
{
    std::string text = refusal.text;
    if (refusal.status == "5.3.4")
        text = "Error: message too large";
    else if (!text.starts_with("Error: "))
        text = fmt::format("Error: {} {}", refusal.status, text);
    const std::string reply = fmt::format("{} {} {}", refusal.code, refusal.status, refusal.text);
    handoff::Rejected rejected{.command = "END-OF-MESSAGE",
                               .reply = reply,
                               .by = "content",
                               .client_name = client_.name,
                               .client_address = address_,
                               .protocol = handoff::qmqp_protocol,
                               .queue_id = queue_id_};
    rejected.sender = packet_.sender();
    if (packet_.recipients().size() == 1)
        rejected.recipient = packet_.recipients().front();
    core_.note_rejection(rejected);
    core_.outside.log.warning("{}: {}: {}", queue_id_, namaddr_, printable(text, true));
    co_await answer(refusal.code < 500 ? Kind::later : Kind::never, std::move(text));
}

awaitable<void> QmqpSession::answer(Kind kind, std::string text)
{
    if (kind == Kind::never && core_.options.policy.soft_bounce)
        kind = Kind::later;
    if (kind != Kind::taken && core_.options.qmqp.error_delay.count() > 0)
        co_await sleep_for(core_.options.qmqp.error_delay);
    const std::string said = printable(text, true);
    const std::string whole = fmt::format("{}:{}{},", said.size() + 1, static_cast<char>(kind), said);
    stream_->expires_after(core_.options.qmqp.timeout);
    if (const auto written = co_await stream_->write(whole); !written && !queue_id_.empty())
        broken(written.error().what() == "conversation timed out" ? "read/write timeout" : "lost connection");
}

/// What the client still sends is read and dropped for a while: a connection that is closed over unread octets ends with a reset, and the answer is lost.
awaitable<void> QmqpSession::part()
{
    if (!stream_->is_open())
        co_return;
    stream_->expires_after(parting_time);
    if (co_await stream_->shutdown()) {
        std::array<char, 4096> room{};
        for (std::size_t dropped = 0; dropped < parting_octets;) {
            const auto got = co_await stream_->read_some(room);
            if (!got || *got == 0)
                break;
            dropped += *got;
        }
    }
    stream_->close();
}

}  // namespace posthorn::receive
