// receive/checks.hpp: what one received message proves of itself, while it comes in.                      RFC 6376 (DKIM), 7208 (SPF), 8601, 8617
// Order    add() with the message as it is received, before anything of ours changes it; the DNS is asked when the head is whole; conclude() at the end.
// DNS      each question is asked once for a message. DMARC's, which are decided by what the others find, are asked ahead.
// Time     what is not answered within options.timeout from then is temperror; conclude() waits no longer than that.
// Memory   the head, up to Content::head_limit, is counted against the ceiling; a message whose head is longer, or that there is no room for, proves nothing
//          by signatures; of the latter nobody's policy is asked for.
// Ownership  shared: questions that are under way hold it, in `asking`, which outlives them.
#pragma once

#include "handoff/aggregate.pb.h"
#include "mailauth/arc.hpp"
#include "mailauth/dmarc.hpp"
#include "mailauth/options.hpp"
#include "mailauth/spf.hpp"
#include "mailauth/verifier.hpp"
#include "receive/ceiling.hpp"
#include "receive/outside.hpp"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::receive {

class Checks : public std::enable_shared_from_this<Checks> {
public:
    struct Facts {
        net::IpAddress client;
        std::string helo, mail_from, myhostname;
        std::shared_ptr<const mailauth::SpfFinding> spf;  // what restrictions have found of this mail; none: nothing was asked
    };
    Checks(const mailauth::CheckOptions& options, Facts facts, Names& names, const Clock& clock, Ceiling& ceiling, TaskGroup& asking,
           const mailauth::PublicSuffixes* suffixes);
    Checks(Checks&&) = delete;

    void add(std::string_view octets);
    struct Verdict {
        std::vector<mailauth::Finding> findings;  // never empty
        mailauth::DmarcPolicy asked = mailauth::DmarcPolicy::none;  // none too where a sealer is trusted (mailauth_trusted_sealers)
        std::string author;  // domain, for whose policy that is
        std::optional<handoff::DmarcSeen> report;  // where a record asks for reports; what is done with the message is the caller's to say
        std::string chain, chain_digest;  // of its seals: none, pass, fail, and mailauth::arc_digest(); empty: nobody looked at them
    };
    /// Once, when all of the message was added. `threads` compute.
    awaitable<Verdict> conclude(Helpers& threads);

private:
    struct Question;
    void settle_head(bool last);
    static awaitable<void> ask_all(std::shared_ptr<Checks> self);
    static awaitable<void> ask_names(std::shared_ptr<Checks> self, std::shared_ptr<Question> question, std::string name, dns::Type type);
    awaitable<dns::Answer> ask(std::string name, dns::Type type);
    awaitable<void> check(std::size_t which);
    bool is_trusted(std::string_view sealer) const;

    const mailauth::CheckOptions& options_;
    Facts facts_;
    Names& names_;
    const Clock& clock_;
    TaskGroup& asking_;
    Ceiling::Share share_;
    std::string head_;
    std::size_t searched_ = 0;
    bool settled_ = false, answered_ = false;
    std::string trouble_;  // why no signature can be looked for
    SteadyTime deadline_{};
    std::unique_ptr<mailauth::DkimVerifier> verifier_;
    std::unique_ptr<mailauth::ArcValidator> validator_;
    std::optional<mailauth::SpfFinding> spf_;
    const mailauth::PublicSuffixes* suffixes_;  // none: no DMARC
    mailauth::Authors authors_;
    std::map<std::pair<std::string, dns::Type>, std::shared_ptr<Question>> questions_;
    Signal all_answered_;
};

}  // namespace posthorn::receive
