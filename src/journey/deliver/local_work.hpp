// deliver/local_work.hpp: what the two halves of LocalAgent share: from a name to its places (local_agent.cpp), and a delivery to each
// (local_places.cpp).
#pragma once

#include "deliver/local_agent.hpp"

#include <fmt/format.h>

namespace posthorn::deliver {

/// Of one recipient of a request.
struct LocalAgent::Work {
    const handoff::DeliveryRequest* request = nullptr;
    const handoff::Recipient* recipient = nullptr;
    const Message* message = nullptr;
    std::string_view head;                                 // of the message
    std::int64_t began = 0;
    std::set<std::string> seen;                            // places that were delivered to already
    std::map<std::pair<std::string, std::string>, std::vector<std::string>> forwards;   // new recipients, by sender and Delivered-To:
    std::size_t places = 0;
    std::vector<handoff::Verdict> leaves;
    const Teller* teller = nullptr;

    bool first_time(std::string place) { return seen.insert(std::move(place)).second; }
    std::string shown;                                     // the address that led here, for log lines
    bool owned = false;                                    // by way of an alias with an owner: what was first written is not said
    awaitable<void> leaf(Fate fate)
    {
        handoff::Recipient said = *recipient;
        if (!shown.empty() && shown != said.address()) {
            said.set_original(owned ? std::string() : said.original().empty() ? said.address() : said.original());
            said.set_address(shown);
        }
        leaves.push_back(co_await teller->tell(request, &said, std::move(fate), began));
    }
};

/// How an address was come to.
struct LocalAgent::Place {
    enum class From { recipient, alias, forward, include } from = From::recipient;
    std::string delivered;                                 // for Delivered-To:
    std::string sender;                                    // of what is forwarded: an alias' owner
    std::string local, domain, extension;
    std::optional<Account> account;                        // whose .forward it is
    std::optional<Privileges> rights;                      // of commands and files; none: default_privs, which stand in for root's as well
    std::string unmatched;                                 // the extension, with its delimiter, that an alias did not have
    std::set<std::string> chain;                           // aliases and .forwards on the way here
    unsigned depth = 0;

    /// What is named by `who` is done as `who`; as root nothing is.
    void give_rights(Privileges who) { rights = who.uid == 0 ? std::nullopt : std::optional(who); }
    std::string address() const { return domain.empty() ? local : local + "@" + domain; }
    bool allowed(const Sources& sources) const
    {
        return from == From::alias ? sources.alias : from == From::forward ? sources.forward : from == From::include ? sources.include : false;
    }
};

}  // namespace posthorn::deliver
