// policy/judge.hpp: evaluates the restriction lists for one session, in Postfix's order and with its semantics.  SMTPD_ACCESS_README
// Order    with smtpd_delay_reject, client, HELO and sender lists are evaluated at each RCPT, then relay and recipient lists.
//          permit ends its own list only; the first reject ends all. defer_if_permit turns a final permit into its 4xx,
//          defer_if_reject a 5xx of the same list into its 4xx; the first of each kind is the one reported.
// Tables   one that cannot answer is 451 4.3.5 (access tables) or 451 4.3.0 (address tables): never a pass.
// Facts    are views into the session; they stay while an evaluation runs.
#pragma once

#include "async/async.hpp"
#include "handoff/interfaces.hpp"
#include "handoff/trials.pb.h"
#include "mailauth/spf.hpp"
#include "receive/outside.hpp"
#include "receive/policy/access_result.hpp"
#include "receive/policy/dns_list.hpp"
#include "receive/policy/service.hpp"
#include "receive/policy/service_request.hpp"
#include "receive/policy/settings.hpp"
#include "smtp/path.hpp"
#include "tables/maps.hpp"
#include "tables/match_list.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::receive::policy {

/// What turns a permit into a refusal for now.
struct Deferral {
    bool active = false;
    int code = 0;
    std::string status, text;
};

/// What the lists decide about. Empty optionals: the command was not given yet.
struct Facts {
    std::string client_name = "unknown";           // confirmed, or "unknown"
    std::string client_reverse_name = "unknown";   // PTR, confirmed or not
    std::string client_address;
    std::string client;                            // "name[addr]"
    std::optional<std::string> helo;
    std::optional<std::string> sender, recipient;  // internal form, "" is <>
    std::string etrn_domain;
    std::size_t recipients = 0;                    // accepted so far
    bool pipelined_early = false;                  // improper command pipelining was seen
    bool tls = false;
    // The name may exist: the DNS did not answer. Never refused for good.
    bool client_name_later = false, client_reverse_name_later = false;
    std::chrono::milliseconds verify_patience{0};  // how long an address probe is waited for
    // smtpd_delay_reject = no: what CONNECT, HELO and MAIL put off; it counts at RCPT.
    std::shared_ptr<const Deferral> client_deferral, helo_deferral, sender_deferral;
};

/// What access tables ask for beside the verdict. Gathered over a transaction.
struct Effects {
    bool hold = false, discard = false;
    std::string redirect, filter;
    std::vector<std::string> bcc, prepend;

    bool any() const { return hold || discard || !redirect.empty() || !filter.empty() || !bcc.empty() || !prepend.empty(); }
};

/// Nothing was refused, or the whole reply line ("554 5.7.1 <a@b>: Relay access denied"), or a hang-up without a word.
struct Ruling {
    Ruling() = default;
    bool refused() const { return hangup || !reply.empty(); }
    std::string reply;
    bool hangup = false;
};

/// What refuses where no restriction of a list does: an address that is not listed, what was put off until the lists had permitted.
inline constexpr std::string_view after_lists = "after-lists";

/// What the session does for a judge.
class Court {
public:
    virtual ~Court() = default;
    /// One log line "reject: ...", "warn: ..."; the session adds who and what.
    virtual void log_what(std::string_view what, std::string_view text) = 0;
    virtual void log_warning(std::string_view text) = 0;
    /// A restriction, by its name as it was written, has refused with this reply.
    virtual void refused_by(std::string_view /*restriction*/, std::string_view /*reply*/) {}
    /// It would have, but for warn_if_reject in front of it.
    virtual void would_refuse(std::string_view /*restriction*/, std::string_view /*reply*/) {}
    /// What stands behind warn_if_reject was asked, once for each command; `what`: with its argument; `reason`: the reply, whatever soft_bounce makes of it,
    /// or why it cannot be told.
    virtual void tried(std::string_view /*what*/, handoff::TrialSeen::Outcome /*outcome*/, std::string_view /*reason*/) {}
    /// Something slow follows: replies that are ready leave.
    virtual awaitable<void> before_wait() = 0;
    virtual SessionFacts session_facts() const = 0;
    /// May the client send mail of the sender? Looked up once for a transaction, by whoever asks first. None: MAIL was not given yet.
    virtual awaitable<std::shared_ptr<const mailauth::SpfFinding>> spf() = 0;
    /// Header fields come too late.
    virtual bool content_has_begun() const { return false; }
    /// Nobody outside is asked, and nothing lasts: only what the restrictions would ask is wanted.
    virtual bool rehearsal() const { return false; }
};

/// Shared by all sessions of a server: settings, and what the lists name: tables, DNS lists, policy servers.
class Law {
public:
    /// `verifier` none: addresses cannot be verified, and restrictions that ask for it defer.
    Law(Executor executor, const Settings& settings, tables::Tables& tables, handoff::AddressClasses& classes, Names& names,
        handoff::Verifier* verifier);

    const Settings& settings;
    handoff::AddressClasses& classes;
    Names& names;
    handoff::Verifier* verifier;
    tables::Maps login_maps, client_certificates, list_replies;
    tables::MatchList mx_backup_networks, logged_permits;
    tables::Table* table(std::string_view spec) const;
    Service* service(std::string_view spec) const;
    const DnsList* dns_list(std::string_view spec) const;
    /// Some list has reject_unverified_recipient.
    bool verifies_recipients() const { return verifies_recipients_; }

private:
    bool verifies_recipients_ = false;
    std::map<std::string, std::shared_ptr<tables::Table>, std::less<>> tables_;
    std::map<std::string, std::unique_ptr<Service>, std::less<>> services_;
    std::map<std::string, DnsList, std::less<>> dns_lists_;
};

/// Keys of an access table, in the order in which they are asked.
struct AccessKey {
    std::string text;
    bool piece;  // not asked of pattern tables, which judge the whole
};
using AccessKeys = std::vector<AccessKey>;
void add_domain_keys(AccessKeys& keys, std::string_view name, bool parents, bool first_is_piece = false);
/// 192.0.2.1, 192.0.2, 192.0, 192; likewise at the colons of IPv6.
void add_address_keys(AccessKeys& keys, std::string_view address);

class Judge {
public:
    /// `verifier`: another than the law's, for a rehearsal.
    Judge(const Law& law, const Facts& facts, Effects& effects, Court& court, handoff::Verifier* verifier = nullptr)
        : law_(law), facts_(facts), effects_(effects), court_(court), verifier_(verifier ? verifier : law.verifier)
    {
    }
    Judge(Judge&&) = delete;

    awaitable<Ruling> client();
    awaitable<Ruling> helo();
    awaitable<Ruling> sender();
    /// Also what smtpd_delay_reject has put off.
    awaitable<Ruling> recipient();
    awaitable<Ruling> data();
    awaitable<Ruling> end_of_data();
    awaitable<Ruling> etrn();
    /// What client(), helo() or sender() put off; for Facts.
    std::shared_ptr<const Deferral> deferral() const { return if_permit_.active ? std::make_shared<const Deferral>(if_permit_) : nullptr; }

private:
    enum class Step : std::uint8_t { dunno, permit, reject, hangup };
    // The list that is being evaluated: what reject, permit and access results call the subject.
    struct Subject {
        Stage stage = Stage::client;
        std::string name;
        std::string_view title;  // "Sender address"
    };

    awaitable<Ruling> early(Stage stage, bool settles, const Deferral* before = nullptr);
    const Deferral* deferred() const;
    awaitable<Step> list(const RestrictionList& list, Subject subject, int depth);
    awaitable<Step> one(const Restriction& restriction, const Subject& subject, int depth);
    Subject subject_of(Stage stage) const;
    Subject permitted_subject(Kind kind, const Subject& subject) const;
    void begin();
    Ruling ruling(Step step);

    // judge.cpp
    Step refuse(int code, std::string_view status, std::string text, bool error_of_ours = false);
    Step refuse_subject(int code, std::string_view status, std::string_view name, std::string_view title, std::string_view why);
    void defer_if(Deferral& deferral, int code, std::string_view status, std::string text);
    Step settle_deferral();
    struct Trial;
    void settle(Trial& trial, handoff::TrialSeen::Outcome outcome, std::string_view reason);
    /// Somebody who was asked had no answer: nothing is refused for that; or the refusal that follows is for that alone.
    void cannot_ask();
    void cannot_tell();
    // client.cpp, helo.cpp, address.cpp, relay.cpp, access.cpp: the families
    Step unknown_client();
    Step unknown_reverse_client();
    Step invalid_helo();
    Step non_fqdn_helo();
    awaitable<Step> unknown_helo();
    Step non_fqdn_address(const std::optional<std::string>& address, std::string_view title);
    awaitable<Step> unknown_domain(std::optional<std::string> address, std::string_view title, bool is_sender);
    awaitable<Step> unlisted(std::optional<std::string> address, std::string_view title, bool is_sender);
    awaitable<Step> unverified(std::optional<std::string> address, std::string_view title, bool is_sender);
    awaitable<Step> my_networks(std::string_view about);
    awaitable<Step> auth_destination(bool defer, bool permits);
    awaitable<Step> access(const Restriction& restriction, const Subject& subject, int depth);
    awaitable<Step> certificate_access(const Restriction& restriction, int depth);
    awaitable<Step> login_access(const Restriction& restriction, int depth);
    /// The first key that the table has decides; none of them: nothing.
    awaitable<std::optional<Step>> first_of(const AccessKeys& keys, const std::string& table, const Subject& about, int depth);
    /// `entry`: the key that was asked.
    awaitable<Step> access_result(std::string value, std::string table, std::string entry, const Subject& subject, int depth);
    awaitable<Step> named_restrictions(const std::string& text, const std::string& table, const Subject& subject, int depth);
    awaitable<Step> permitted(std::string_view action, const Subject& subject, std::string_view from);
    awaitable<Result<handoff::AddressStanding>> standing(std::string address);
    // spf_fail.cpp
    awaitable<Step> spf_fail();
    // server_access.cpp
    awaitable<Step> server_access(const Restriction& restriction, int depth);
    std::optional<Subject> party(Party party, Stage stage) const;
    awaitable<Step> mx_backup();
    awaitable<std::optional<bool>> is_ours(const std::vector<dns::Record>& hosts, bool networks);
    // listed.cpp
    awaitable<Result<bool>> listed(const DnsList& list, std::string query);
    std::optional<DnsList> list_named(std::string_view spec) const;
    awaitable<Step> refuse_listed(const DnsList& list, std::string query, std::string what, std::string_view title);
    awaitable<Step> address_list(std::string list, bool permits);
    awaitable<Step> domain_list(const Restriction& restriction, const Subject& subject);
    awaitable<Step> old_address_lists();
    awaitable<bool> may_be_permitted();
    // service_access.cpp
    awaitable<Step> policy_service(const Restriction& restriction, const Subject& subject, int depth);
    // login.cpp
    awaitable<Step> login_mismatch(const Restriction& restriction);
    awaitable<Step> known_certificate(bool all);
    /// forbidden: what a list found out from others may say is never "permit".
    Step never_permit(Step step, const Restriction& restriction, std::string_view about);

    const Law& law_;
    const Facts& facts_;
    Effects& effects_;
    Court& court_;
    handoff::Verifier* verifier_;
    std::string reply_;
    std::string_view at_ = after_lists;  // the restriction that is being asked
    Deferral if_permit_, if_reject_;
    bool warn_ = false;
    // The outermost restriction behind warn_if_reject, while it is asked: a class has one verdict, the first.
    struct Trial {
        const Restriction* restriction;
        bool settled = false, lacks_answers = false, unsure = false;
    };
    std::optional<Trial> trial_;
    bool default_action_ = false;  // a policy server's default action is being evaluated
    bool recipient_checked_ = false, sender_checked_ = false;
    // Two addresses at most are asked about at one time, each by several restrictions.
    std::map<std::string, Result<handoff::AddressStanding>> standings_;
};

}  // namespace posthorn::receive::policy
