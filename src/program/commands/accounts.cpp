// posthorn accounts: who hands mail in, how much, what looks as if it were somebody else's; and what an operator decides about it.
#include "commands/command.hpp"

#include "base/strings.hpp"
#include "inquiry/account_listing.hpp"
#include "inquiry/queue_client.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <pwd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace posthorn::commands {

namespace {

using handoff::Account;
using handoff::QueueCommand;

constexpr const char* accounts_usage =
    "usage: posthorn accounts [-c config_dir] [--json] [list [--strange] | show NAME | hold NAME [--reason TEXT] | refuse NAME [--reason TEXT] |\n"
    "       allow NAME [--for TIME] [--reason TEXT] | resume NAME | forget NAME | release NAME | delete NAME --yes]\n"
    "       NAME: a login, a user of this machine or its number, login:NAME or uid:USER";

struct AccountArguments {
    std::optional<std::string> directory, lasts, reason;
    std::string verb = "list", name;
    bool json = false, strange = false, sure = false;
};

AccountArguments account_arguments(std::span<char*> args)
{
    AccountArguments made;
    bool verb = false;
    for (std::size_t at = 1; at < args.size(); ++at) {
        const std::string_view word = args[at];
        if (word == "-c")
            made.directory = operand_of(args, at, accounts_usage);
        else if (word == "--json")
            made.json = true;
        else if (word == "--strange")
            made.strange = true;
        else if (word == "--yes")
            made.sure = true;
        else if (word == "--for")
            made.lasts = operand_of(args, at, accounts_usage);
        else if (word == "--reason")
            made.reason = operand_of(args, at, accounts_usage);
        else if (!verb && !word.starts_with('-')) {
            made.verb = word;
            verb = true;
        } else if (made.name.empty() && !word.empty() && !word.starts_with('-'))
            made.name = word;
        else
            throw Failure(accounts_usage, submit::exit_usage);
    }
    constexpr std::string_view about_one[] = {"show", "hold", "refuse", "allow", "resume", "forget", "release", "delete"};
    const bool one = std::ranges::find(about_one, made.verb) != std::end(about_one), lists = made.verb == "list";
    const bool reasoned = made.verb == "hold" || made.verb == "refuse" || made.verb == "allow";
    if ((!one && !lists) || one == made.name.empty() || (made.strange && !lists) || (made.lasts && made.verb != "allow") ||
        (made.reason && !reasoned) || (made.sure && made.verb != "delete"))
        throw Failure(accounts_usage, submit::exit_usage);
    if (made.verb == "delete" && !made.sure)
        throw Failure(fmt::format("all mail of account {} that is in the queue would be deleted: that wants --yes", printable(made.name, true)),
                      submit::exit_usage);
    return made;
}

handoff::QueueReply put(const config::Snapshot& snapshot, QueueCommand command)
{
    auto reply = inquiry::QueueClient(snapshot).ask(std::move(command));
    if (!reply)
        throw Failure(reply.error().text(), reply.error().status() == "4.3.0"   ? submit::exit_unavailable
                                            : reply.error().status() == "5.5.4" ? submit::exit_usage
                                                                                : 1);
    return *std::move(reply);
}

std::string user_name(std::uint32_t uid)
{
    const passwd* const user = ::getpwuid(uid);
    return user == nullptr ? std::string() : std::string(user->pw_name);
}

/// "uid:33" of "www-data" or "33"; none: no user of this machine is called so.
std::optional<std::string> user_account(std::string_view word)
{
    if (const auto number = parse_number(word))
        return fmt::format("uid:{}", *number);
    const passwd* const user = ::getpwnam(std::string(word).c_str());
    return user == nullptr ? std::nullopt : std::optional(fmt::format("uid:{}", user->pw_uid));
}

/// Which account a word names: as it is, the login of that name, or the user of this machine, whichever is known here.
std::string account_named(const config::Snapshot& snapshot, const std::string& word)
{
    constexpr std::string_view user_kind = "uid:";
    if (word.starts_with("login:"))
        return word;
    if (word.starts_with(user_kind)) {
        const auto user = user_account(std::string_view(word).substr(user_kind.size()));
        if (!user)
            throw Failure(fmt::format("{}: no user of this machine is called so", printable(word, true)), submit::exit_usage);
        return *user;
    }
    const auto local = word.find('@') == word.npos ? user_account(word) : std::nullopt;
    const std::string login = "login:" + word;
    if (!local)
        return login;
    const bool knows_login = put(snapshot, inquiry::account_question(login)).accounts_size() > 0;
    const bool knows_local = put(snapshot, inquiry::account_question(*local)).accounts_size() > 0;
    if (knows_login == knows_local)
        throw Failure(fmt::format("{} {} a user of this machine: say {} or {}", printable(word, true),
                                  knows_login ? "is a login and" : "may be a login or", login, *local),
                      submit::exit_usage);
    return knows_login ? login : *local;
}

/// How many messages of the account it was done to.
std::uint64_t do_to_its_mail(const config::Snapshot& snapshot, const std::string& account, QueueCommand::Verb verb)
{
    constexpr int at_once = 1000;
    std::vector<std::string> ids;
    const auto listed = inquiry::QueueClient(snapshot).list([&](const handoff::QueueEntry& entry) {
        if (entry.envelope().account() == account && (verb != QueueCommand::RELEASE || entry.queue_name() == "hold"))
            ids.push_back(entry.envelope().queue_id());
    });
    if (!listed)
        throw Failure(listed.error().text(), submit::exit_unavailable);
    std::uint64_t count = 0;
    for (std::size_t at = 0; at < ids.size();) {
        QueueCommand command;
        command.set_verb(verb);
        for (; at < ids.size() && command.queue_ids_size() < at_once; ++at)
            command.add_queue_ids(std::move(ids[at]));
        count += put(snapshot, std::move(command)).count();
    }
    return count;
}

std::string messages_text(std::uint64_t count) { return fmt::format("{} message{}", count, count == 1 ? "" : "s"); }

int list_accounts(const config::Snapshot& snapshot, const AccountArguments& given)
{
    const handoff::QueueReply reply = put(snapshot, inquiry::account_question({}));
    std::vector<const Account*> shown;
    for (const Account& account : reply.accounts())
        if (!given.strange || account.alarm_cause() != 0)
            shown.push_back(&account);
    if (given.json)
        for (const Account* account : shown)
            fmt::print("{}\n", inquiry::account_json(*account, user_name));
    else if (shown.empty())
        fmt::print("There is none.\n");
    else
        fmt::print("{}", inquiry::account_table(shown, user_name));
    return 0;
}

int run_accounts(std::span<char*> args)
{
    const AccountArguments given = account_arguments(args);
    const config::Snapshot snapshot = load_config("posthorn", given.directory);
    reserved_for_owner(snapshot);
    if (given.verb == "list")
        return list_accounts(snapshot, given);
    const std::string account = account_named(snapshot, given.name);
    if (given.verb == "show") {
        const handoff::QueueReply reply = put(snapshot, inquiry::account_question(account));
        if (reply.accounts().empty()) {
            fmt::print(stderr, "posthorn accounts: nothing is known of account {}\n", printable(given.name, true));
            return 1;
        }
        fmt::print("{}{}", given.json ? inquiry::account_json(reply.accounts(0), user_name) : inquiry::account_details(reply.accounts(0), user_name),
                   given.json ? "\n" : "");
        return 0;
    }
    if (given.verb == "release" || given.verb == "delete") {
        const bool releases = given.verb == "release";
        const std::uint64_t count = do_to_its_mail(snapshot, account, releases ? QueueCommand::RELEASE : QueueCommand::DELETE);
        fmt::print("{} {}\n", messages_text(count), releases ? "released from hold" : "deleted");
        return 0;
    }
    auto command = inquiry::account_command(given.verb, account, given.lasts, given.reason, operator_name());
    if (!command)
        throw Failure(command.error().text(), submit::exit_usage);
    put(snapshot, *std::move(command));
    std::string said = given.verb == "hold"     ? "new mail of it is put on hold"
                       : given.verb == "refuse" ? "new mail of it is refused"
                       : given.verb == "allow"  ? "no limit holds for it, and it is not watched"
                       : given.verb == "forget" ? "forgotten"
                                                : "as any other";
    if (given.verb == "hold" || given.verb == "refuse")
        said += fmt::format("; {} of it in the queue put on hold", messages_text(do_to_its_mail(snapshot, account, QueueCommand::HOLD)));
    fmt::print("account {}: {}\n", printable(given.name, true), said);
    return 0;
}

}  // namespace

int accounts(std::span<char*> args) { return guarded("posthorn accounts", run_accounts, args); }

}  // namespace posthorn::commands
