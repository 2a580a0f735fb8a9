// What a session keeps for peers/: what was said together, what came back, how it ended; what it is told; and its transcript.
#include "send/session.hpp"

#include "peers/observation.hpp"

namespace posthorn::send {

namespace {

/// Evidence of a session: its last exchanges.
constexpr std::size_t evidence_exchanges = 8;

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
        greeting_text_ = lines_of(std::move(greeting));
    const peers::Quirks canary = known_.canary;
    known_ = around_.peers->about({evidence_.peer, greeting_text_, lines_of(ehlo)});
    if (!ehlo.empty())
        known_.canary = canary;                                     // it was given at the greeting
    if (wish_.probes) {
        known_.quirks.subtract(known_.canary);
        evidence_.canary = known_.canary;
    }
    if (pix_dot_)
        known_.quirks.add(peers::Quirk::dot_alone);
    evidence_.in_force = known_.quirks;
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
    if (!around_.peers || evidence_.exchanges.empty() || awaited_ == Act::greeting)
        return;
    peers::Exchange& exchange = evidence_.exchanges.back();
    const std::size_t place = exchange.codes.size();
    exchange.codes.push_back(static_cast<std::uint16_t>(reply.code));
    exchange.surplus = exchange.surplus || reply.garbage != 0 || exchange.codes.size() > exchange.verbs.size();
    exchange.milliseconds =
        static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::milliseconds>(around_.clock.steady() - exchange_begun_).count());
    if (reply.code < 400)
        return;
    const std::string text = reply.text();
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
    if (!around_.peers || evidence_.exchanges.empty() || error.what() == "canceled")
        return;
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
