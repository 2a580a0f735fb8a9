#include "send/verdict.hpp"

namespace posthorn::send {

namespace {

/// May a reply of this class stand where `act` waits for its answer? RFC 5321 4.3.2.
bool in_place(Act act, const smtp::Reply& reply)
{
    if (!reply.valid())
        return false;
    if (reply.transient() || reply.permanent())
        return true;
    if (act == Act::data)
        return reply.code == 354;
    return reply.positive();
}

}  // namespace

Judgement judge(Act act, const smtp::Reply& reply, Belief belief)
{
    if (act == Act::quit)
        return reply.valid() ? Judgement::good : Judgement::out_of_place;
    if (reply.code == 421 || reply.code == 221)
        return Judgement::leaving;
    if (!in_place(act, reply))
        return Judgement::out_of_place;
    if (reply.transient())
        return Judgement::temporary;
    if (reply.permanent()) {
        const bool doubtful =
            belief.out_of_step || reply.mixed_codes || reply.garbage != 0 || (belief.behind_others && speaks_of_dialogue(reply.code));
#ifdef POSTHORN_PLANT_BUG_delivery
        return Judgement::permanent;                                    // a 5xx is a 5xx
#endif
        return doubtful ? Judgement::temporary : Judgement::permanent;
    }
    return Judgement::good;
}

bool may_be_later_ones(std::span<const Act> asked, std::span<const int> codes, std::size_t place)
{
    // Moved by one or more, each answer behind it moves as far or farther: is there a command for each that it fits?
    const std::size_t missing = asked.size() - std::min(asked.size(), codes.size());
    std::size_t moved = 1;
    for (std::size_t at = place; at < codes.size(); ++at) {
        const auto fits = [&](Act act) { return codes[at] >= 400 || (act == Act::data) == (codes[at] == 354); };
        while (moved <= missing && !fits(asked[at + moved]))
            ++moved;
        if (moved > missing)
            return false;
    }
    return true;
}

std::string_view phase(Act act, bool lmtp)
{
    switch (act) {
    case Act::connect:
    case Act::handshake: return "performing the TLS handshake";
    case Act::greeting: return "receiving the initial server greeting";
    case Act::auth:
    case Act::hello: return lmtp ? "performing the LHLO handshake" : "performing the EHLO handshake";
    case Act::starttls: return "receiving the STARTTLS response";
    case Act::rset: return "sending final RSET";
    case Act::xforward: return "sending XFORWARD";
    case Act::mail: return "sending MAIL FROM";
    case Act::rcpt: return "sending RCPT TO";
    case Act::data: return "sending DATA command";
    case Act::content:
    case Act::header_chunk:
    case Act::pause: return "sending message body";
    case Act::dot:
    case Act::bdat: return "sending end of data -- message may be sent more than once";
    case Act::quit: return "sending QUIT";
    }
    return "";
}

std::string_view command_name(Act act, bool lmtp)
{
    switch (act) {
    case Act::hello: return lmtp ? "LHLO" : "EHLO";
    case Act::starttls: return "STARTTLS";
    case Act::rset: return "RSET";
    case Act::xforward: return "XFORWARD";
    case Act::mail: return "MAIL FROM";
    case Act::rcpt: return "RCPT TO";
    case Act::data: return "DATA";
    case Act::content:
    case Act::pause:
    case Act::header_chunk:
    case Act::dot:
    case Act::bdat: return "end of DATA";
    case Act::quit: return "QUIT";
    default: return "CONNECT";
    }
}

Reason reason_of_reply(const smtp::Reply& reply, Judgement judgement, Act act, std::string_view peer, std::string_view host, bool lmtp)
{
    const std::string said = reply.logged();
    Reason reason(judgement == Judgement::permanent, reply.status(),
                  fmt::format("host {} said: {} (in reply to {} command)", peer, said, command_name(act, lmtp)));
    if (!reason.permanent && !reason.status.starts_with('4'))
        reason.status = "4.5.0";
    reason.diagnostic = said;
    reason.remote = host;
    return reason;
}

Reason reason_out_of_place(const smtp::Reply& reply, Act act, std::string_view peer, std::string_view host, bool lmtp)
{
    Reason reason = reason_of_reply(reply, Judgement::out_of_place, act, peer, host, lmtp);
    reason.text = "Protocol error: " + reason.text;
    reason.status = "4.5.0";
    return reason;
}

Reason reason_of_error(const Error& error, std::string_view peer, std::string_view phase)
{
    if (error.what() == "conversation timed out")
        return {false, "4.4.2", fmt::format("conversation with {} timed out while {}", peer, phase)};
    if (error.what() == "canceled")
        return {false, "4.3.2", fmt::format("delivery to {} was stopped while {}", peer, phase)};
    return {false, error.status().starts_with('4') ? error.status() : "4.4.2", fmt::format("{} with {} while {}", error.what(), peer, phase)};
}

void Sheet::accept(std::size_t index, const smtp::Reply&)
{
    if (fates_[index].state == Fate::State::open)
        fates_[index].state = Fate::State::accepted;
}

void Sheet::deliver(std::size_t index, const smtp::Reply& reply)
{
    Fate& fate = fates_[index];
    if (fate.state == Fate::State::delivered || fate.state == Fate::State::failed)
        return;
    fate.state = Fate::State::delivered;
    fate.status = reply.intermediate() ? "2.0.0" : reply.status();
    fate.text = reply.logged();
}

void Sheet::fail(std::size_t index, const Reason& reason)
{
    Fate& fate = fates_[index];
    if (fate.state == Fate::State::delivered || fate.state == Fate::State::failed)
        return;
    fate.state = Fate::State::failed;
    fate.reason = reason;
}

void Sheet::doubt(std::size_t index, const Reason& reason)
{
    Fate& fate = fates_[index];
    if (fate.state != Fate::State::failed || !fate.reason.permanent)
        return;
    fate.reason = reason;
    fate.apart = true;
}

void Sheet::fail_open(const Reason& reason)
{
    for (std::size_t i = 0; i < fates_.size(); ++i)
        fail(i, reason);
}

void Sheet::deliver_accepted(std::span<const std::uint32_t> indexes, const smtp::Reply& reply)
{
    for (const std::uint32_t index : indexes)
        if (fates_[index].state == Fate::State::accepted)
            deliver(index, reply);
}

void Sheet::forget_accepted()
{
    for (Fate& fate : fates_)
        if (fate.state == Fate::State::accepted)
            fate.state = Fate::State::open;
}

std::size_t Sheet::next_accepted() const
{
    for (std::size_t i = 0; i < fates_.size(); ++i)
        if (fates_[i].state == Fate::State::accepted)
            return i;
    return fates_.size();
}

void Sheet::reopen()
{
    for (Fate& fate : fates_)
        if (!fate.final())
            fate = Fate{.apart = fate.apart};
}

bool Sheet::settled() const
{
    return std::ranges::all_of(fates_, [](const Fate& fate) { return fate.state == Fate::State::delivered || fate.state == Fate::State::failed; });
}

bool Sheet::all_final() const { return std::ranges::all_of(fates_, &Fate::final); }
bool Sheet::all_loop() const
{
    return std::ranges::all_of(fates_, [](const Fate& fate) { return fate.state == Fate::State::failed && fate.reason.loops; });
}

}  // namespace posthorn::send
