#include "cleanup/rewrite.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <set>

namespace posthorn::cleanup {

namespace {

const Refusal alias_error{451, "4.6.0", "Alias expansion error"};
constexpr std::string_view not_accepted = "-- message not accepted, try again later";

/// The aliases of one recipient, depth first, in the order of the tables.
class Expansion {
public:
    Expansion(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups)
        : draft_(draft), options_(options), asked_(asked), lookups_(lookups)
    {
    }

    /// `depth`: how often this place in the result was expanded already. Further members of an entry are places of their own:
    /// expansion_limit bounds those.
    Step expand(const std::string& address, std::size_t depth = 0)
    {
        if (depth >= options_.recursion_limit)
            return nesting(address);
        const tables::Maps& maps = asked_.virtual_alias_maps;
        auto found = maps.find_address(lookups_, address, options_.own.delimiter, &asked_.own);
        if (!found) {
            if (lookups_.waiting()) {
                ++waiting_for_;
                return found.error();
            }
            warn(fmt::format("{} map lookup problem for {} {}", maps.parameter(), printable(address, true), not_accepted));
            return table_error;
        }
        const auto& value = *found;
        if (!value)
            return keep(address);
        const auto members = mapped_addresses(*value, address, options_.propagate_extensions, options_);
        if (members.empty()) {
            warn(fmt::format("{} map has no usable address for {} {}", maps.parameter(), printable(address, true), not_accepted));
            return alias_error;
        }
        chain_.push_back(address);
        std::optional<Error> not_yet;
        for (const std::string& member : members) {
            auto step = follow(member, address, &member == &members.front() ? depth + 1 : 0);
            if (!step && lookups_.waiting())
                not_yet = std::move(step).error();               // what the others need is asked in the same round
            else if (!step || *step)
                return step;
            // Each that is waited for is one address at least. Going on could double the work with every list of lists.
            if (not_yet && result.size() + waiting_for_ >= options_.expansion_limit)
                return *std::move(not_yet);
        }
        chain_.pop_back();
        if (not_yet)
            return *std::move(not_yet);
        return std::nullopt;
    }

    std::vector<std::string> result;

private:
    Step follow(const std::string& member, const std::string& address, std::size_t depth)
    {
        if (member.size() > options_.address_length_limit) {
            warn(fmt::format("unreasonable {} result {}... in {} map {}", "virtual_alias_maps", printable(member.substr(0, 300), true),
                             asked_.virtual_alias_maps.parameter(), not_accepted));
            return alias_error;
        }
        if (iequals(member, address))
            return keep(member);                                 // "user  user, copy": the user stays
        if (std::ranges::any_of(chain_, [&](const std::string& above) { return iequals(above, member); }))
            return nesting(member);                              // a -> b -> a would go on for ever
        return expand(member, depth);
    }

    Step keep(const std::string& address)
    {
        if (result.size() >= options_.expansion_limit) {
            warn(fmt::format("unreasonable {} map expansion size for {} {}", asked_.virtual_alias_maps.parameter(),
                             printable(chain_.empty() ? address : chain_.front(), true), not_accepted));
            return alias_error;
        }
        result.push_back(address);
        return std::nullopt;
    }

    Step nesting(const std::string& address)
    {
        warn(fmt::format("unreasonable {} map nesting for {} {}", asked_.virtual_alias_maps.parameter(),
                         printable(chain_.empty() ? address : chain_.front(), true), not_accepted));
        return alias_error;
    }

    void warn(std::string text) { draft_.log.push_back("warning: " + std::move(text)); }

    Draft& draft_;
    const Options& options_;
    const Asked& asked_;
    Lookups& lookups_;
    std::vector<std::string> chain_;
    std::size_t waiting_for_ = 0;                                // places in the result whose look-up is not answered yet
};

}  // namespace

Step expand_aliases(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups)
{
    google::protobuf::RepeatedPtrField<handoff::Recipient> recipients, expanded;
    recipients.Swap(draft.envelope.mutable_recipients());
    std::set<std::string> seen;
    std::optional<Error> not_yet;
    for (handoff::Recipient& recipient : recipients) {
        const std::string original = recipient.original().empty() ? recipient.address() : recipient.original();
        Expansion expansion(draft, options, asked, lookups);
        if (options.address_mappings && !asked.virtual_alias_maps.empty()) {
            auto step = expansion.expand(recipient.address());
            if (!step && lookups.waiting()) {
                not_yet = std::move(step).error();
                continue;
            }
            if (!step || *step)
                return step;
        } else {
            expansion.result.push_back(recipient.address());
        }
        const bool alone = recipients.size() == 1 && expansion.result.size() == 1;
        for (std::string& address : expansion.result) {
            // As one mailbox may be reached by several addresses, those that differ in what they were stay apart, unless
            // enable_original_recipient says that one is enough. What it was is kept all the same: for the log, ORCPT and X-Original-To.
            if (!alone && !seen.insert(to_lower(options.original_recipient
                                                    ? fmt::format("{}\n{}\n{}\n{}", recipient.orcpt(), recipient.notify(), original, address)
                                                    : address))
                               .second)
                continue;
            handoff::Recipient& added = *expanded.Add();
            if (&address == &expansion.result.back())
                added.Swap(&recipient);
            else
                added = recipient;
            added.set_index(static_cast<std::uint32_t>(expanded.size()) - 1);
            if (original != address)
                added.set_original(original);
            else
                added.clear_original();
            added.set_address(std::move(address));
        }
    }
    if (not_yet)
        return *std::move(not_yet);
    *draft.envelope.mutable_recipients() = std::move(expanded);
    return std::nullopt;
}

}  // namespace posthorn::cleanup
