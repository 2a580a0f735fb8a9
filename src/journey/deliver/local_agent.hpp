// deliver/local_agent.hpp: mail for users of this machine, and for what their names stand for.                             local(8), aliases(5)
// Order    aliases, then the user's .forward, then the mailbox: by another transport, a command, a file. Who is no user: fallback_transport,
//          luser_relay.
// Rights   a user's commands, files and .forward: the user's. An alias': those of the owner of its table, or default_privs where that is root. An
//          :include: file's: those of who names it; of its owner where that would be default_privs and the owner is not root.
// Leaves   each place that an address leads to has a log line. The recipient's verdict is the worst of them: where one is deferred all are tried
//          again, as in Postfix. What leaves this machine is a new message, cleaned and enqueued before the verdict.
#pragma once

#include "deliver/accounts.hpp"
#include "deliver/local_words.hpp"
#include "deliver/mailbox.hpp"
#include "deliver/spawner.hpp"
#include "deliver/targets.hpp"
#include "deliver/teller.hpp"
#include "tables/maps.hpp"

#include <map>
#include <optional>
#include <set>

namespace posthorn::deliver {

/// From whom something may lead to a command or a file; what gets a Delivered-To:.
struct Sources {
    bool alias = false, forward = false, include = false;
};

struct LocalOptions {
    tables::Delimiter delimiter;
    std::string myorigin, host;  // what is added to a user alone; of this machine
    std::string service = "local";  // of master.cf: routes to it end here
    Privileges default_rights{};
    Sources commands, files;  // allow_mail_to_*
    bool deliver_header_command = true, deliver_header_file = true, deliver_header_forward = true;
    bool frozen_delivered = true;  // frozen_delivered_to
    bool original_to = true;  // enable_original_recipient: X-Original-To
    bool expand_owner = false, reset_owner = false, owner_special = true;
    bool propagate_alias = false, propagate_forward = false, propagate_include = false;
    bool require_home = false, strict_ownership = true;
    std::string forward_path, home_mailbox, spool_directory, mailbox_command, shell, luser_relay, command_directory;
    std::string command_filter, directory_filter, forward_filter;
    std::string mailbox_transport, fallback_transport;
    std::vector<std::string> environment;
    std::chrono::seconds time_limit{1000};
    std::uint64_t size_limit = 0;
    std::uint16_t biff_port = 0;  // 0: nobody is told of new mail
    LockManner lock;
};

/// One table of alias_maps, and whose commands its entries may start.
struct AliasTable {
    tables::Maps maps;
    std::optional<Privileges> owner;  // none: root's
};

struct LocalAsked {
    std::vector<AliasTable> aliases;
    tables::Maps mailbox_transports, fallback_transports, mailbox_commands;
};

/// What the agent needs of the rest of the system.
class LocalOutside {
public:
    virtual ~LocalOutside() = default;
    /// Where addresses go, as qmgr would ask.
    virtual awaitable<Result<std::vector<handoff::Route>>> route(std::string sender, std::vector<std::string> addresses) = 0;
    /// A new message: `envelope` with other recipients, `header` in front of the old message. `transport`: all of it goes there (transport:nexthop).
    /// Its queue id, once it is on stable storage.
    virtual awaitable<Result<std::string>> forward(handoff::Envelope envelope, std::string header, Message message, std::string transport) = 0;
};

class LocalAgent {
public:
    LocalAgent(LocalOptions options, LocalAsked asked, Accounts& accounts, LocalOutside& outside, Spawner& spawner, Teller& teller)
        : options_(std::move(options)), asked_(std::move(asked)), accounts_(accounts), outside_(outside), spawner_(spawner), teller_(teller)
    {
    }
    awaitable<handoff::Verdicts> deliver(handoff::DeliveryRequest request, Fd content);

private:
    struct Work;
    struct Place;

    // From a name to its places.
    awaitable<void> to_local(Work* work, Place place, std::string local);
    awaitable<bool> by_alias(Work* work, const Place* place, std::string name, std::string extension);
    awaitable<Result<std::optional<std::string>>> owner_of(std::string name);
    awaitable<bool> by_forward(Work* work, const Place* place, const Account* account);
    awaitable<void> follow(Work* work, Place place, std::vector<Target> targets);
    awaitable<void> follow_include(Work* work, Place place, std::string path);
    std::string whole_address(std::string_view address) const;

    // To a place.
    awaitable<void> to_mailbox(Work* work, Place place, std::optional<Account> account);
    awaitable<void> to_user(Work* work, Place place, Account account);
    awaitable<void> to_nobody(Work* work, Place place);
    awaitable<void> to_command(Work* work, Place place, std::string command);
    awaitable<void> to_file(Work* work, Place place, MailboxJob job, Privileges rights);
    awaitable<void> hand_on(Work* work, std::string transport, Place place);
    awaitable<void> forward_all(Work* work);
    /// The first value of these tables for a user's name; none: no.
    awaitable<Result<std::optional<std::string>>> ask(const tables::Maps* maps, std::string key);
    LocalNames names_of(const Work& work, const Place& place) const;
    WrittenNames written_names(const Work& work, const Place& place) const;

    LocalOptions options_;
    LocalAsked asked_;
    Accounts& accounts_;
    LocalOutside& outside_;
    Spawner& spawner_;
    Teller& teller_;
};

}  // namespace posthorn::deliver
