// schedule/orders.hpp: what operators ordered for destinations: their mail waits (suspend), or is returned to its senders (bounce).
// Words    destination: "*" all; "user@example.com"; "example.com"; ".example.com" with the domains below it; "smtp:" a transport or a pool of
//          transports; "smtp:[mx.example.com]:25" one next hop of it. "@example.com" is example.com. Of the recipient as it is delivered to, after aliases.
//          sender: "user@example.com"; "@example.com", "@.example.com" with those below; "<>" the empty one.
//          Both are kept in one form: lower case, domains in A-labels.
// Which    of several orders for a recipient the narrowest counts: address, domain, nearer domains above before farther ones, next hop, transport, all;
//          of two for the same destination the one with a sender. So a wide order can have exceptions, and ends without touching them.
// Reports  mail without a sender cannot be returned: a bounce is for it only where its sender is "<>".
// Bounds   most_orders in force, reasons of longest_reason octets.
// Pure: time is told. Errors are for whoever gives the order, with status 5.5.4.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "handoff/orders.pb.h"
#include "handoff/words.pb.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::schedule {

inline constexpr std::size_t most_orders = 1000, longest_reason = 200;
inline constexpr std::chrono::days longest_order{3650};

/// The word in the form in which it is kept.
Result<std::string> order_destination(std::string_view word);
Result<std::string> order_sender(std::string_view word);
/// An order as somebody gives it, its words in their form. Errors: which word, and what is wrong with it.
Result<handoff::Order> order_in_form(handoff::Order wanted);

/// What stands in logs and in mailq, and in a report to the sender: "deliveries to example.com suspended by an operator: REASON".
std::string order_text(const handoff::Order& order);
/// "example.com --from @there.test", "'*'": what `posthorn resume` takes to end it, for a shell.
std::string order_words(const handoff::Order& order);

/// Whether it may be for this recipient, whichever way that goes: an order for a transport may be.
bool may_be_for(const handoff::Order& order, std::string_view recipient, std::string_view sender);

/// Whether it is, whoever sends, for mail to this address or domain, which goes these ways; or for an address of the domain.
bool is_about(const handoff::Order& order, std::string_view word, std::span<const handoff::Route> ways);

/// Those in force. How much they hold up and returned is counted elsewhere.
class Orders {
public:
    bool empty() const { return all_.empty(); }
    /// Narrowest first.
    const std::vector<handoff::Order>& all() const { return all_; }
    const handoff::Order* numbered(std::uint64_t number) const;

    /// Takes the place of one for the same destination and sender, and its number. Its words are in their form. Error: there are as many as there may be.
    Result<handoff::Order> give(handoff::Order order, WallTime now);
    /// Those for this destination, of this sender where one is named; without a destination, all.
    std::vector<handoff::Order> end(std::string_view destination, std::string_view sender);
    /// Those whose time is over.
    std::vector<handoff::Order> end_of_time(WallTime now);
    std::optional<WallTime> next_end() const;
    /// The wall clock was set back: their ends go with it.
    void earlier(WallTime::duration back);

    /// The one that counts for this recipient; none: it goes its way.
    const handoff::Order* for_mail(std::string_view recipient, const handoff::Route& route, std::string_view sender, WallTime now) const;
    /// An order for this transport, or its next hop, lets nothing begin: mail of a pool goes by another member.
    bool closes(std::string_view transport, std::string_view site, std::string_view sender, WallTime now) const;

    handoff::StoredOrders stored() const;
    /// What was stored; those that are none, or too many, are left out.
    static Orders restored(const handoff::StoredOrders& stored);

private:
    std::vector<handoff::Order> all_;
    std::uint64_t last_number_ = 0;
};

}  // namespace posthorn::schedule
