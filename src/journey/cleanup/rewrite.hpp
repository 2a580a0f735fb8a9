// cleanup/rewrite.hpp: what becomes of one address.                               canonical(5), ADDRESS_REWRITING_README
// Order    completed, then sender_ or recipient_canonical_maps, canonical_maps, masquerade_domains: each where its classes say so.
// Errors   a table that cannot be asked, and maps that lead round in a circle, refuse the message for now.
#pragma once

#include "cleanup/chain.hpp"

namespace posthorn::cleanup {

class Rewriter {
public:
    Rewriter(Draft& draft, const Options& options, const Asked& asked, Lookups& lookups)
        : draft_(draft), options_(options), asked_(asked), lookups_(lookups)
    {
    }

    /// None: it stays. Internal form.
    std::optional<smtp::Mailbox> rewrite(const smtp::Mailbox& mailbox, Role role, const Completion& completion);
    std::optional<std::string> rewrite(std::string_view address, Role role);
    /// After all of them: whether an answer was missing, or a table led nowhere.
    Step outcome() const;

private:
    bool maps_addresses() const;
    void map(const tables::Maps& maps, std::string& address);
    void masquerade(std::string& address);
    void fail(std::string warning);

    Draft& draft_;
    const Options& options_;
    const Asked& asked_;
    Lookups& lookups_;
    std::optional<Error> not_yet_;
    std::optional<Refusal> refusal_;
};

/// The addresses that a table gives for one: "@domain" keeps the user; completed; with the extension that was not looked up. What has control
/// characters is none.
std::vector<std::string> mapped_addresses(const tables::Found& found, std::string_view address, bool propagate, const Options& options);

}  // namespace posthorn::cleanup
