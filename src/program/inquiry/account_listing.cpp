#include "inquiry/account_listing.hpp"

#include "accounts/book.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "inquiry/orders.hpp"
#include "inquiry/transcripts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace posthorn::inquiry {

using handoff::Account;
using handoff::QueueCommand;

namespace {

constexpr std::chrono::hours usually_allowed{24};

/// "12", "12 (30 days)": what is usual, where something is.
std::string usual_text(const Account& account) { return account.usual_days() == 0 ? "-" : std::to_string(account.usual_hour()); }

std::string tried_text(const handoff::AccountCounts& counts)
{
    return counts.tried() == 0 ? "-" : fmt::format("{} of {}", counts.refused(), counts.tried());
}

std::string by_and_why(const Account& account)
{
    return fmt::format(" by {}{}", printable(account.word_by().empty() ? std::string("an operator") : account.word_by(), true),
                       account.word_reason().empty() ? "" : ": " + printable(account.word_reason(), true));
}

std::string_view word_name(const Account& account)
{
    switch (account.word()) {
    case Account::HOLD: return "hold";
    case Account::REFUSE: return "refuse";
    case Account::ALLOW: return "allow";
    default: return "";
    }
}

std::string user_of(const Account& account, const UserName& user_name)
{
    constexpr std::string_view kind = "uid:";
    if (!user_name || !account.name().starts_with(kind))
        return {};
    const auto uid = parse_number(std::string_view(account.name()).substr(kind.size()));
    return uid && *uid <= UINT32_MAX ? user_name(static_cast<std::uint32_t>(*uid)) : std::string();
}

/// "bob@example.com", "uid:33 (www-data)".
std::string shown_name(const Account& account, const UserName& user_name)
{
    const std::string user = user_of(account, user_name);
    return printable(accounts::account_text(account.name()) + (user.empty() ? "" : fmt::format(" ({})", user)), true);
}

std::string counts_json(const handoff::AccountCounts& counts)
{
    return fmt::format(R"({{"messages": {}, "recipients": {}, "tried": {}, "refused": {}}})", counts.messages(), counts.recipients(), counts.tried(),
                       counts.refused());
}

}  // namespace

Result<QueueCommand> account_command(std::string_view verb, std::string_view account, const std::optional<std::string>& lasts,
                                     const std::optional<std::string>& reason, std::string by)
{
    QueueCommand command;
    command.set_verb(QueueCommand::ACCOUNT_ORDER);
    handoff::AccountOrder& order = *command.mutable_account_order();
    order.set_name(std::string(account));
    order.set_by(std::move(by));
    order.set_reason(reason.value_or(""));
    order.set_forget(verb == "forget");
    order.set_word(verb == "hold" ? Account::HOLD : verb == "refuse" ? Account::REFUSE : verb == "allow" ? Account::ALLOW : Account::NONE);
    if (verb != "allow" && lasts)
        return Error{"a time is for allow alone: the others last until resume", "5.5.4"};
    if (verb == "allow") {
        std::chrono::seconds time = usually_allowed;
        if (lasts) {
            TRY(time, order_time_of(*lasts));
        }
        order.set_lasts(std::chrono::microseconds(time).count());
    }
    return command;
}

QueueCommand account_question(std::string account)
{
    QueueCommand command;
    command.set_verb(QueueCommand::ACCOUNTS);
    command.set_argument(std::move(account));
    return command;
}

std::string account_state(const Account& account)
{
    std::string state;
    switch (account.word()) {
    case Account::HOLD: state = "on hold since " + local_time(account.word_since()) + by_and_why(account); break;
    case Account::REFUSE: state = "refused since " + local_time(account.word_since()) + by_and_why(account); break;
    case Account::ALLOW: state = "allowed everything until " + local_time(account.word_until()) + by_and_why(account); break;
    default: break;
    }
    if (account.alarm_cause() != 0)
        state +=
            fmt::format("{}strange since {}: {}", state.empty() ? "" : "; ", local_time(account.alarm_since()), printable(account.alarm(), true));
    return state;
}

std::string account_table(std::span<const Account* const> accounts, const UserName& user_name)
{
    constexpr std::size_t longest_name = 40;
    std::size_t width = 7;
    std::vector<std::string> names;
    for (const Account* account : accounts)
        width = std::clamp(names.emplace_back(shown_name(*account, user_name)).size(), width, longest_name);
    std::string text =
        fmt::format("{:<{}}  {:>9}  {:>9}  {:>9}  {:>13}  {}\n", "account", width, "last hour", "usual", "last day", "returned", "state");
    for (std::size_t at = 0; at < accounts.size(); ++at) {
        const Account& account = *accounts[at];
        text += std::string(trim(fmt::format("{:<{}}  {:>9}  {:>9}  {:>9}  {:>13}  {}", names[at], width, account.hour().recipients(),
                                             usual_text(account), account.day().recipients(), tried_text(account.hour()), account_state(account)))) +
                "\n";
    }
    return text;
}

std::string account_details(const Account& account, const UserName& user_name)
{
    std::string text = fmt::format("account {}\n", shown_name(account, user_name));
    const auto line = [&](std::string_view name, const std::string& value) { text += fmt::format("    {:<11} {}\n", name, value); };
    if (const std::string state = account_state(account); !state.empty())
        line("state", state);
    line("last hour", fmt::format("{} messages to {} recipients; of {} that were tried {} came back", account.hour().messages(),
                                  account.hour().recipients(), account.hour().tried(), account.hour().refused()));
    line("last day", fmt::format("{} messages to {} recipients; of {} that were tried {} came back", account.day().messages(),
                                 account.day().recipients(), account.day().tried(), account.day().refused()));
    line("usual", account.usual_days() == 0
                      ? "nothing: there was no day with mail before today"
                      : fmt::format("at most {} recipients within an hour, on {} days with mail", account.usual_hour(), account.usual_days()));
    line("known since", local_time(account.since()));
    line("last mail", local_time(account.last()));
    std::vector<const handoff::AccountNetwork*> networks;
    for (const handoff::AccountNetwork& network : account.networks())
        networks.push_back(&network);
    std::ranges::sort(networks, std::ranges::greater{}, &handoff::AccountNetwork::last);
    for (const handoff::AccountNetwork* network : networks)
        line(network == networks.front() ? "from" : "",
             fmt::format("{}, {} to {}", network->network(), local_time(network->first()), local_time(network->last())));
    return text;
}

std::string account_json(const Account& account, const UserName& user_name)
{
    const std::string user = user_of(account, user_name);
    std::string networks;
    for (const handoff::AccountNetwork& network : account.networks())
        networks += fmt::format(R"({}{{"network": {}, "first": "{}", "last": "{}"}})", networks.empty() ? "" : ", ", json_text(network.network()),
                                utc_time(network.first()), utc_time(network.last()));
    std::string alarm = "null", order = "null";
    if (account.alarm_cause() != 0 && account.alarm_cause() < std::size(accounts::cause_names))
        alarm = fmt::format(R"({{"cause": "{}", "since": "{}", "text": {}}})", accounts::cause_names[account.alarm_cause()],
                            utc_time(account.alarm_since()), json_text(account.alarm()));
    if (account.word() != Account::NONE)
        order = fmt::format(R"({{"order": "{}", "since": "{}", "until": {}, "by": {}, "reason": {}}})", word_name(account),
                            utc_time(account.word_since()),
                            account.word() == Account::ALLOW ? fmt::format("\"{}\"", utc_time(account.word_until())) : "null",
                            json_text(account.word_by()), json_text(account.word_reason()));
    return fmt::format(
        R"({{"account": {}, "user": {}, "since": "{}", "last": "{}", "hour": {}, "day": {}, "usual_hour": {}, "usual_days": {}, "networks": [{}], )"
        R"("alarm": {}, "order": {}}})",
        json_text(account.name()), user.empty() ? "null" : json_text(user), utc_time(account.since()), utc_time(account.last()),
        counts_json(account.hour()), counts_json(account.day()), account.usual_days() == 0 ? "null" : std::to_string(account.usual_hour()),
        account.usual_days(), networks, alarm, order);
}

}  // namespace posthorn::inquiry
