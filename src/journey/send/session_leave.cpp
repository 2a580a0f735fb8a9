// What a session does while nobody waits for it, and how it goes.
#include "send/session.hpp"

namespace posthorn::send {

bool Session::still_silent()
{
    if (over_ || !stream_ || amid_reply())
        return false;
    char octet[1];
    if (stream_->try_read(octet).state == net::Io::State::again)
        return true;
    over_ = true;
    return false;
}

awaitable<void> Session::tidy()
{
    const bool alone = !features_.has(smtp::Keyword::pipelining) || known_.quirks.has(peers::Quirk::one_command_per_flight);
    if (over_ || !open_transaction_ || !alone || known_.quirks.has(peers::Quirk::no_rset))
        co_return;
    plan_.assign({{.act = Act::rset, .ends_flight = true}});
    const std::uint64_t trips = round_trips_;
    co_await fly(plan_);
    co_await park_mail();
    round_trips_ = trips;
    if (amid_reply())
        over_ = true;                                               // it speaks unasked
    input_ = {};
    if (over_)
        stream_->close();
    buffer_ = std::string();
}

/// One probe has come after another: the next one finds its MAIL said and answered, and waits for RCPT alone. The transaction stands open no longer
/// than the session is idle. A refusal is nobody's: it is asked again when somebody waits. Where MAILs are counted (RFC 9422), none is spent on it.
awaitable<void> Session::park_mail()
{
    if (over_ || open_transaction_ || amid_reply() || !wish_.probes || options_.probe_data || transactions_ < 2 || features_.limits.mail_max != 0)
        co_return;
    const auto reply = co_await command(Act::mail, probe_mail_);
    over_ = !reply || reply->code == 421 || reply->code == 221;
    parked_ = open_transaction_ = !over_ && judge(Act::mail, *reply, {.out_of_step = out_of_step_}) == Judgement::good;
}

/// This one has its MAIL already, if it is the same to the letter; else the plan takes it back.
void Session::take_parked(Transaction& transaction)
{
    std::uint8_t parameters = 0;
    if (!std::exchange(parked_, false) || !transaction.progress.probe || mail_line(transaction, &parameters) != probe_mail_)
        return;
    transaction.progress.stage = Stage::addressing;
    transaction.progress.sender_open = true;
}

awaitable<void> Session::goodbye()
{
    if (over_ || !stream_ || unheard_ != Unheard::nothing) {
        close();
        co_return;
    }
    leaving_ = true;
    peers::Known known = known_;
    for (const peers::Quirk quirk : {peers::Quirk::quit_alone, peers::Quirk::no_rset})
        if (known_.canary.has(quirk)) {                             // nothing is left to say: here it can be tested
            known.quirks.remove(quirk);
            evidence_.canary.add(quirk);
        }
    plan(plan_, Dialogue{.open_transaction = open_transaction_, .end = true}, {.pipelining = features_.has(smtp::Keyword::pipelining)}, known,
         plan_options_);
    compose(plan_);
    begin_request();
    limit_reply(Act::quit);
    write_flight();
    for (const Expected& expected : expected_) {
        auto reply = co_await read_reply(expected.act);
        if (!reply || reply->code == 221)
            break;                                                  // a lone 221 for RSET QUIT is in the evidence now
    }
    over_ = true;
    stream_->close();
    co_await writers_.drained();
    close();
}

void Session::close()
{
    over_ = true;
    if (stream_)
        stream_->close();
    report(true);
    recorder_.end();
}

}  // namespace posthorn::send
