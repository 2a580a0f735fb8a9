// Who hands mail in (accounts/book.hpp): each mail is judged before it is stored, and what became of its recipients is counted.
#include "services/counters.hpp"
#include "services/queue_manager.hpp"

#include "handoff/counting.hpp"

namespace posthorn::services {

using accounts::Ruling;

bool QueueManager::may_hand_in(handoff::Envelope& envelope, handoff::EnqueueReply* reply)
{
    const std::string limits = std::move(*envelope.mutable_account_limits());
    envelope.clear_account_limits();
    if (envelope.account().empty() || envelope.purpose() == handoff::PURPOSE_VERIFY_ADDRESS)
        return true;
    const Ruling ruling = accounts_.hand_in({.account = envelope.account(),
                                             .limits = limits,
                                             .client_address = envelope.client().address(),
                                             .recipients = static_cast<std::uint32_t>(envelope.recipients_size())},
                                            clock_.wall());
    for (const std::string& line : ruling.warnings)
        log_.warning("{}", line);
    switch (ruling.what) {
    case Ruling::What::take: return true;
    case Ruling::What::hold:
        log_.info("{}: hold: {}", envelope.queue_id(), ruling.text);
        envelope.set_hold(true);
        envelope.set_hold_reason(ruling.text);
        return true;
    case Ruling::What::refuse: break;
    }
    reply->set_status(ruling.status);
    reply->set_text(ruling.text);
    return false;
}

void QueueManager::tried(const Active& active, bool refused)
{
    if (active.envelope.account().empty())
        return;
    if (const auto line = accounts_.tried(active.envelope.account(), refused, clock_.wall()))
        log_.warning("{}", *line);
}

void QueueManager::restore_accounts(const handoff::StoredAccounts& kept)
{
    accounts_ = accounts::Book(kept, clock_.wall());
    accounts_.configure(options_.accounts);
}

std::optional<handoff::StoredAccounts> QueueManager::accounts_to_keep()
{
    if (!accounts_.changed())
        return std::nullopt;
    accounts_.is_stored();
    return accounts_.stored();
}

handoff::QueueReply QueueManager::tell_accounts(std::string_view name) const
{
    handoff::QueueReply reply;
    for (handoff::Account& account : accounts_.tell(name, clock_.wall()))
        *reply.add_accounts() = std::move(account);
    return reply;
}

Result<handoff::QueueReply> QueueManager::order_account(const handoff::AccountOrder& order)
{
    TRY(handoff::Account account, accounts_.order(order, clock_.wall()));
    log_.info("account {}: {} by {}", accounts::account_text(order.name()),
              order.forget()                             ? "forgotten"
              : order.word() == handoff::Account::HOLD   ? "its mail is put on hold"
              : order.word() == handoff::Account::REFUSE ? "its mail is refused"
              : order.word() == handoff::Account::ALLOW  ? "may hand in whatever it likes for a time"
                                                         : "as any other",
              order.by().empty() ? std::string_view("an operator") : std::string_view(order.by()));
    handoff::QueueReply reply;
    *reply.add_accounts() = std::move(account);
    return reply;
}

void QueueManager::count_accounts(handoff::CountersReply& reply) const
{
    const accounts::Book::Numbers numbers = accounts_.numbers();
    handoff::count(reply, accounts_known, numbers.known);
    handoff::count(reply, accounts_alarmed, numbers.alarmed);
    handoff::count(reply, accounts_ordered, numbers.held, {{"order", "hold"}});
    handoff::count(reply, accounts_ordered, numbers.refused, {{"order", "refuse"}});
    const accounts::Book::Done& done = accounts_.done();
    for (std::size_t cause = 1; cause < std::size(accounts::cause_names); ++cause)
        handoff::count(reply, account_alarms, done.alarms[cause], {{"cause", accounts::cause_names[cause]}});
    for (const auto& [count, name] : {std::pair{done.held, "hold"}, {done.put_off, "defer"}, {done.refused, "reject"}})
        handoff::count(reply, account_mails, count, {{"became", name}});
}

}  // namespace posthorn::services
