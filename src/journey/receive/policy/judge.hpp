// policy/judge.hpp: evaluates the restriction lists for one session, in Postfix's order and with its semantics.  SMTPD_ACCESS_README
// Order    with smtpd_delay_reject, client, HELO and sender lists are evaluated at each RCPT, then relay and recipient lists.
//          permit ends its own list only; the first reject ends all. defer_if_permit turns a final permit into its 4xx,
//          defer_if_reject a 5xx of the same list into its 4xx; the first of each kind is the one reported.
// Tables   one that cannot answer is 451 4.3.5 (access tables) or 451 4.3.0 (address tables): never a pass.
// Facts    are views into the session; they stay while an evaluation runs.
#pragma once

#include "async/async.hpp"
#include "handoff/interfaces.hpp"
#include "receive/outside.hpp"
#include "receive/policy/access_result.hpp"
#include "receive/policy/settings.hpp"
#include "smtp/path.hpp"
#include "tables/table.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::receive::policy {

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
    std::chrono::milliseconds verify_patience{0};  // how long an address probe is waited for
};

/// What access tables ask for beside the verdict. Gathered over a transaction.
struct Effects {
    bool hold = false, discard = false;
    std::string redirect, filter;
    std::vector<std::string> bcc, prepend;
};

/// Nothing was refused, or the whole reply line ("554 5.7.1 <a@b>: Relay access denied"), or a hang-up without a word.
struct Ruling {
    Ruling() = default;
    bool refused() const { return hangup || !reply.empty(); }
    std::string reply;
    bool hangup = false;
};

/// What the session does for a judge.
class Court {
public:
    virtual ~Court() = default;
    /// One log line "reject: ...", "warn: ..."; the session adds who and what.
    virtual void log_what(std::string_view what, std::string_view text) = 0;
    virtual void log_warning(std::string_view text) = 0;
    /// Something slow follows: replies that are ready leave.
    virtual awaitable<void> before_wait() = 0;
};

/// Shared by all sessions of a server: settings and the tables that the lists name, opened.
class Law {
public:
    /// `verifier` none: addresses cannot be verified, and restrictions that ask for it defer.
    Law(const Settings& settings, tables::Tables& tables, handoff::AddressClasses& classes, Names& names, handoff::Verifier* verifier);

    const Settings& settings;
    handoff::AddressClasses& classes;
    Names& names;
    handoff::Verifier* verifier;
    tables::Table* table(std::string_view spec) const;
    /// Some list has reject_unverified_recipient.
    bool verifies_recipients() const { return verifies_recipients_; }

private:
    void open(const RestrictionList& list, tables::Tables& tables);
    bool verifies_recipients_ = false;
    std::map<std::string, std::shared_ptr<tables::Table>, std::less<>> tables_;
};

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

private:
    enum class Step : std::uint8_t { dunno, permit, reject, hangup };
    struct Deferral {
        bool active = false;
        int code = 0;
        std::string status, text;
    };
    // The list that is being evaluated: what reject, permit and access results call the subject.
    struct Subject {
        Stage stage = Stage::client;
        std::string name;
        std::string_view title;       // "Sender address"
    };

    awaitable<Ruling> early(Stage stage);
    awaitable<Ruling> late(Stage stage, std::string name, std::string_view title);
    awaitable<Step> list(const RestrictionList& list, Subject subject, int depth);
    awaitable<Step> one(const Restriction& restriction, const Subject& subject, int depth);
    Subject subject_of(Stage stage) const;
    void begin();
    Ruling ruling(Step step);

    // judge.cpp
    Step refuse(int code, std::string_view status, std::string text, bool error_of_ours = false);
    Step refuse_subject(int code, std::string_view status, std::string_view name, std::string_view title, std::string_view why);
    void defer_if(Deferral& deferral, int code, std::string_view status, std::string text);
    Step settle_deferral();
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
    awaitable<Step> my_networks();
    awaitable<Step> auth_destination(bool defer, bool permits);
    awaitable<Step> access(const Restriction& restriction, const Subject& subject, int depth);
    awaitable<Step> access_result(std::string value, std::string table, const Subject& subject, int depth);
    awaitable<Result<handoff::AddressStanding>> standing(std::string address);

    const Law& law_;
    const Facts& facts_;
    Effects& effects_;
    Court& court_;
    handoff::Verifier* verifier_;
    std::string reply_;
    Deferral if_permit_, if_reject_;
    bool warn_ = false;
    bool recipient_checked_ = false, sender_checked_ = false;
    // Two addresses at most are asked about at one time, each by several restrictions.
    std::map<std::string, Result<handoff::AddressStanding>> standings_;
};

}  // namespace posthorn::receive::policy
