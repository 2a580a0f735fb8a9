// mailauth/signer.hpp: who signs or seals a message, with which keys; and the fields that come of it.           RFC 6376 5, RFC 8463, RFC 8617 5.1
// Author   the first address of From:. dkim_sign_maps is asked for user@domain, domain, and .parent of each domain above it; a selector
//          without a domain of its own signs for the domain that was found, so a parent's key signs for the parent.
// Keys     dkim_key_maps, SELECTOR._domainkey.DOMAIN: PEM in base64, as postmap -F stores it. They are kept as long as the table says the same.
//          A domain that is no host name has no key, whatever a pattern says of it; an internationalized one is signed for by its A-labels, as DOMAIN:SELECTOR.
// Seals    what others wrote, in the name of the site: AAR, AMS and AS of one set. The signature of the message covers what DKIM's does, and
//          the DKIM signatures that are there; never results and fields of the chain.
// Errors   a table that cannot answer, a key that is not there or is none: the message waits (4.3.0, 4.3.5). Never goes unsigned what
//          should be signed: where it goes, that may be a reason to refuse it for good.
#pragma once

#include "base/clock.hpp"
#include "mailauth/options.hpp"
#include "mailauth/signature.hpp"
#include "observe/log.hpp"
#include "tables/maps.hpp"

#include <map>
#include <memory>

namespace posthorn::mailauth {

class Signer {
public:
    /// `threads` compute. All are borrowed for as long as it lives; `log` says who signed, after the queue id.
    Signer(Options options, tables::Tables& tables, Helpers& threads, const Clock& clock, observe::Log log);

    bool any() const { return !sign_maps_.empty(); }
    Canonical body() const { return options_.body; }
    /// Fields to go in front of `head`; empty: this author's mail is not signed. `body_hash`: BodyHash of the body in the form `body`.
    awaitable<Result<std::string>> sign(std::string queue_id, std::string head, std::string body_hash, Canonical body);

    /// The set to go in front of `head`; empty: none is to be added (RFC 8617 5.1). `results`: results_text() of what was found of the message;
    /// `status` of its chain as it stands in `head`: none, pass or fail.
    awaitable<Result<std::string>> seal(std::string queue_id, std::string head, std::string body_hash, Canonical body, std::string results,
                                        std::string status);

private:
    struct Wanted {
        std::string domain, selector;
    };
    struct Listed {
        std::string value, domain;
    };
    Result<std::optional<Listed>> listed(tables::Lookups& lookups, const std::string& author) const;
    awaitable<Result<std::vector<Wanted>>> wanted(std::string author);
    awaitable<Result<std::shared_ptr<const tls::SigningKey>>> key(std::string name);

    Options options_;
    tables::Maps sign_maps_, key_maps_;
    Helpers& threads_;
    const Clock& clock_;
    observe::Log log_;
    std::map<std::string, std::shared_ptr<const tls::SigningKey>, std::less<>> keys_;  // by what the table says
};

/// The author's address in internal form, its domain in lower case; empty: there is none.
std::string author_of(std::string_view head);

}  // namespace posthorn::mailauth
