// What a session keeps for peers/: what was said together, what came back, how it ended; what it is told; and its transcript.
#include "send/session.hpp"

#include "base/strings.hpp"
#include "peers/observation.hpp"

namespace posthorn::send {

namespace {

/// Evidence of a session: its last exchanges.
constexpr std::size_t evidence_exchanges = 8;
/// Behind a session that ended over lost segments: the next one sends smaller ones, and may go at once, when all processes know.
constexpr std::chrono::seconds path_pause{10};
/// What is kept of a greeting, and of an answer to EHLO, to compare with that of other sessions.
constexpr std::size_t shown_octets = 4096;

/// The reply as the rule file sees it: lines with their codes, joined by LF.
std::string lines_of(std::string wire)
{
    std::erase(wire, '\r');
    if (wire.ends_with('\n'))
        wire.pop_back();
    return wire;
}

}  // namespace

void Session::ask_about(std::string greeting, std::string ehlo)
{
    if (!greeting.empty())
        evidence_.shown.greeting = (greeting_text_ = lines_of(std::move(greeting))).substr(0, shown_octets);
    const peers::Quirks canary = known_.canary;
    const std::string said = lines_of(std::move(ehlo));
    known_ = around_.peers->about({evidence_.peer, greeting_text_, said, to_lower(host_.name), to_lower(host_.domain)});
    if (!said.empty())
        (secured_ ? evidence_.shown.ehlo_tls : evidence_.shown.ehlo_clear) = said.substr(0, shown_octets);
    if (!said.empty())
        known_.canary = canary;                                     // it was given at the greeting
    if (wish_.probes) {
        known_.quirks.subtract(known_.canary);
        evidence_.canary = known_.canary;
    }
    if (pix_dot_)
        known_.quirks.add(peers::Quirk::dot_alone);
    evidence_.in_force = known_.quirks;
}

/// Whether it is what was demanded is seen later, and the session may end by that.
void Session::show_tls(const Secured& secured, TlsLevel demanded)
{
    if (!around_.peers)
        return;
    peers::Shown& shown = evidence_.shown;
    shown.tls_protocol = secured.protocol;
    shown.tls_level = level_name(demanded);
    shown.tls_trust = secured.trust;
    shown.issuer = secured.issuer;
    shown.issued = secured.issued;
    shown.expires = secured.expires;
    shown.authenticated = authenticated(demanded);
}

void Session::begin_exchange()
{
    if (evidence_.exchanges.size() >= evidence_exchanges)
        evidence_.exchanges.erase(evidence_.exchanges.begin());
    evidence_.exchanges.emplace_back();
    exchange_begun_ = around_.clock.steady();
}

void Session::keep_evidence(const smtp::Reply& reply)
{
    if (!around_.peers || evidence_.exchanges.empty() || awaited_ == Act::greeting || awaited_ == Act::auth)
        return;
    peers::Exchange& exchange = evidence_.exchanges.back();
    const std::size_t place = exchange.codes.size();
    exchange.codes.push_back(static_cast<std::uint16_t>(reply.code));
    exchange.surplus = exchange.surplus || reply.garbage != 0 || exchange.codes.size() > exchange.verbs.size();
    exchange.milliseconds = static_cast<std::uint32_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::max(heard_at_, exchange_begun_) - exchange_begun_).count());
    if (reply.code < 400)
        return;
    const std::string text = reply.text();
    if (reply.code == 452 && peers::speaks_of_recipient_limit(reply.status(), text))
        ++exchange.say_too_many;
    exchange.says_pipelining = exchange.says_pipelining || peers::speaks_of_pipelining(text);
    if (exchange.parameters != 0 && place < exchange.verbs.size() && exchange.verbs[place] == peers::Verb::mail) {
        exchange.named |= peers::parameters_named(text);
        const std::string status = reply.status();                  // 5.1.z, 5.7.z: the address, the sender
        exchange.may_mean_parameters =
            reply.code == 501 && (exchange.named & exchange.parameters) == 0 && (status == "5.0.0" || status.starts_with("5.5."));
    }
}

void Session::keep_end(const Error& error)
{
    if (!around_.peers || evidence_.exchanges.empty() || error.what() == "canceled" || superseded_ || awaited_ == Act::auth)
        return;
    if (const auto path = error.what() == "conversation timed out" && says_content() ? around_.path(*stream_) : std::nullopt;
        path && path->loses_all())
        evidence_.path.lost = path->segment;
    evidence_.exchanges.back().end = error.what() == "conversation timed out" ? peers::StreamEnd::timeout
                                     : error.what() == "end of stream"        ? peers::StreamEnd::end
                                                                              : peers::StreamEnd::reset;
}

/// For the transcript: the first of its recipients that was not served, and why.
void Session::record_fate(const Transaction& transaction)
{
    const std::string& queue_id = transaction.request->envelope().queue_id();
    if (transaction.unserved) {
        recorder_.remark(fmt::format("{} goes on in another session: {}", queue_id, end_reason_.text));
        return;
    }
    for (const std::uint32_t index : transaction.recipients)
        if ((*transaction.sheet)[index].state == Fate::State::failed)
            return recorder_.failed(queue_id, (*transaction.sheet)[index].reason.text);
}

/// Tells what was seen. True: another session would now be planned otherwise.
bool Session::report(bool whole)
{
    if (!around_.peers || evidence_.peer.address.empty())
        return false;
    if (!evidence_.exchanges.empty() && amid_reply())
        evidence_.exchanges.back().surplus = true;
    evidence_.when = around_.clock.wall();
    evidence_.mails = contents_;
    evidence_.whole = whole;
    peers::Evidence told = whole ? std::exchange(evidence_, {}) : evidence_;
    evidence_.exchanges.clear();
    const bool news = around_.peers->saw(std::move(told));
    planned_otherwise_ = planned_otherwise_ || news;
    return news;
}

/// What a refusal asks for beyond itself: less, later. Kept for the agent.
peers::Advice Session::heed(const smtp::Reply& reply)
{
    if (!around_.peers || reply.code < 400)
        return {};
    const peers::Advice advice = around_.peers->advice(lines_of(reply.wire()), wish_.rule_site);
    if (!advice.slower && !advice.fewer && advice.suspend.count() == 0)
        return advice;
    heard_.set_slower(heard_.slower() || advice.slower);
    heard_.set_fewer(heard_.fewer() || advice.fewer);
    heard_.set_suspend(std::max<std::uint64_t>(heard_.suspend(), static_cast<std::uint64_t>(advice.suspend.count())));
    heard_.set_said(fmt::format("host {} said: {}", peer_text_, reply.logged()));
    return advice;
}

/// When a recipient that is put off may pass, where that is known; 0: it is not.
std::int64_t Session::put_off(const Transaction& transaction, std::uint32_t index, Judgement judgement, const smtp::Reply& reply)
{
    if (!around_.peers || judgement != Judgement::temporary || transaction.progress.probe || (reply.permanent() && !advice_.greylist))
        return 0;
    const handoff::Envelope& envelope = transaction.request->envelope();
    const auto when = around_.peers->put_off(evidence_.peer.address, envelope.sender(), envelope.recipients(static_cast<int>(index)).address(),
                                             lines_of(reply.wire()), advice_);
    return when ? when->time_since_epoch().count() : 0;
}

void Session::note_taken(const Transaction& transaction, std::size_t index)
{
    if (!around_.peers || (*transaction.sheet)[index].state != Fate::State::accepted)
        return;
    const handoff::Envelope& envelope = transaction.request->envelope();
    if (around_.peers->taken(evidence_.peer.address, envelope.sender(), envelope.recipients(static_cast<int>(index)).address()))
        heard_.set_passed(true);
}

/// A group whose loss loses nothing: no content is in it, and none was said of what it carries.
bool Session::before_content(std::span<const Step> flight) const
{
    return expected_.size() > 1 && !current_.empty() &&
           std::ranges::none_of(flight, [](const Step& step) { return step.act == Act::content || step.act == Act::bdat || step.act == Act::dot; }) &&
           std::ranges::none_of(current_, &Transaction::content_said);
}

std::optional<handoff::SessionFacts> Session::facts() const
{
    if (!options_.records)
        return std::nullopt;
    handoff::SessionFacts facts;
    facts.set_protocol(options_.lmtp ? "LMTP" : esmtp_ ? "ESMTP" : "SMTP");
    if (stream_ && !stream_->local().is_unix())
        facts.set_source(stream_->local().ip.is_v6() ? fmt::format("[{}]:{}", stream_->local().ip.text(), stream_->local().port)
                                                     : fmt::format("{}:{}", stream_->local().ip.text(), stream_->local().port));
    facts.set_tls_protocol(tls_protocol_);
    facts.set_tls_cipher(tls_cipher_);
    facts.set_tls_peer(tls_peer_);
    return facts;
}

/// Content fills segments, and commands do not.
void Session::keep_arrival(const Transaction& transaction)
{
    if (segment_ != 0 && transaction.content->size() >= 2 * std::uint64_t{segment_})
        evidence_.path.arrived = true;
}

bool Session::lost_on_the_way()
{
    if (over_ || !says_content() || segment_ == 0 || evidence_.path.small)
        return false;
    const auto path = around_.path(*stream_);
    if (!path || !path->loses_all())
        return false;
    evidence_.path.lost = path->segment;
    if (!evidence_.exchanges.empty())
        evidence_.exchanges.back().end = peers::StreamEnd::timeout;
    Reason reason(
        false, "4.4.2",
        fmt::format("conversation with {} timed out while {}: segments of {} octets are lost on the way", peer_text_, doing(), path->segment));
    reason.retry_at = (around_.clock.wall() + path_pause).time_since_epoch().count();
    end_with(std::move(reason));
    stream_->abort();                           // what waits in the kernel would still arrive where it was an outage, and be taken twice
    return true;
}

bool Session::suspect()
{
    if (evidence_.exchanges.empty())
        return false;
    evidence_.exchanges.back().end = peers::StreamEnd::timeout;
    return report(false);
}

void Session::supersede()
{
    if (over_)
        return;
    superseded_ = true;
    silent_since_.reset();
    end_with(reason_of_error(Error("conversation timed out"), peer_text_, phase(awaited_, options_.lmtp)));
    stream_->close();
}

/// A refusal that may be about how it was said: in a group, with a parameter, by BDAT, to more than one recipient of MAIL FROM:<>.
bool Session::about_dialogue(const Expected& expected, const smtp::Reply& reply)
{
    if (!reply.permanent() || !around_.peers || !around_.peers->obeys() || evidence_.exchanges.empty())
        return false;
    peers::Exchange& exchange = evidence_.exchanges.back();
    if ((expected.act == Act::bdat || expected.act == Act::header_chunk) && !known_.quirks.has(peers::Quirk::no_bdat) &&
        (reply.code == 500 || reply.code == 502 || reply.code == 504))
        return true;                                                // the command was announced
    if (expected.act == Act::mail)
        return peers::about_parameters(reply.code, exchange.parameters, exchange.named) || exchange.may_mean_parameters;
    if (expected.act == Act::rcpt && expected.recipient != 0 && expected.transaction->progress.null_sender &&
        !known_.quirks.has(peers::Quirk::one_rcpt_null_sender) && (peers::speaks_of_one_recipient(reply.text()) || reply.status() == "5.5.3")) {
        exchange.says_one_recipient = true;
        return true;
    }
    return expected.behind_others && peers::speaks_of_pipelining(reply.text());
}

}  // namespace posthorn::send
