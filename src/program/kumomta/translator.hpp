// kumomta/translator.hpp: the work of translate(), shared by its files: listeners.cpp (what kumo.* calls start), senders.cpp (sources, pools, queues, tenants),
// shaping.cpp (paths, providers, automation), signing.cpp (DKIM). Every option has its verdict by `judge`; `rest` gives one to those nobody has spoken of.
#pragma once

#include "kumomta/translate.hpp"

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::kumomta {

using migrate::Setting;
using migrate::Translation;
using migrate::Verdict;

/// An option whose verdict depends on nothing but its name.
struct OptionFact {
    std::string_view name;
    Verdict::Kind kind;
    std::string_view text;
};
inline constexpr auto nothing_needed = Verdict::Kind::nothing_needed;
inline constexpr auto left_out = Verdict::Kind::left_out;
inline constexpr auto becomes = Verdict::Kind::becomes;

/// The pattern between slashes: one that stands in it is escaped.
std::string within_slashes(std::string_view regex);

class PolicyTranslator {
public:
    PolicyTranslator(const Policy& policy, const Machine& machine) : policy_(policy), machine_(machine) {}
    Translation translate();

private:
    using Kind = Verdict::Kind;
    /// The options of a table, of which some have their verdict.
    struct Block {
        const Value& table;
        std::string where;
    };

    void judge(const Block& block, std::string_view name, Kind kind, std::string text, bool loud = false);
    void judge(const Place& place, std::string where, std::string statement, Kind kind, std::string text, bool loud = false);
    /// Verdicts of all options that have none: by the facts, else that nothing here does the same. Tables that are named in `inner` are blocks of their own.
    void rest(const Block& block, std::span<const OptionFact> facts, std::initializer_list<std::string_view> inner = {});
    void set(std::string name, std::string value, const Place& place, std::string_view because);
    /// An option that is a parameter by another name. False: it is not there, or no value for it.
    bool becomes_setting(const Block& block, std::string_view option, const std::string& parameter);
    bool becomes_time(const Block& block, std::string_view option, const std::string& parameter);
    std::string add_table(std::string name, std::string type, std::string content);
    void add_service(const std::string& text, const Place& place, std::string_view because);

    // --- listeners.cpp
    void calls();
    void smtp_listener(const Call& call);
    void http_listener(const Call& call);
    void spool(const Call& call);
    void logs(const Call& call);
    void log_hook(const Call& call);
    void bounce_classifier(const Call& call);
    void domains();
    void handlers();

    // --- senders.cpp
    void senders();
    void source_line(const Entry& source);
    void pool(const Entry& pool, std::vector<std::string>& pools);
    std::string unique_service(std::string_view name, std::string_view suffix);
    /// The transport of a pool; empty: there is none of this name.
    std::string transport_of(const std::string& pool) const;
    void queues();
    void queue_times();
    void own_times(const Block& block, const std::string& key);
    void queue_routes();
    void shaped_ports(const std::string& transport, const std::string& general, const std::set<std::string>& routed, std::string& table);
    void tenants();
    void scheduling();
    void inner_queues(const Block& domain);

    // --- shaping.cpp
    void shaping();
    void default_path();
    std::string domain_lines(const std::string& source);
    std::string provider_lines(const std::string& source);
    std::string words_of(const Value& options, const std::string& site, bool provider);
    void path_verdicts(const Block& block, bool of_default);
    void tls_policies();
    std::string tls_level(const Value& options) const;
    std::string automation();
    std::string automation_line(const Value& rule, const std::string& where, const std::string& site);

    // --- signing.cpp
    void signing();
    bool signature(const Block& block, const std::string& domain, std::string& selector);
    void signing_base(const Block& base);

    const Policy& policy_;
    const Machine& machine_;
    Translation out_;
    std::set<std::string> judged_;
    std::set<std::string> services_;  // first columns of master.cf
    std::map<std::string, std::string> lines_;  // source to its service
    std::map<std::string, std::string> transports_;  // pool to its transport
    std::map<std::string, int> pool_users_;  // transport to how many of the default, domains and tenants send by it
    std::map<std::string, std::string> ported_;  // domain to ":587", of those that are next hops with a port
    std::string schedules_;  // entries of retry_schedule_maps
    std::map<std::string, std::vector<std::string>> options_;  // service to "-o" lines
    std::map<std::string, Place> places_;  // service to where its source is from
    std::map<std::string, std::string> keys_;  // SELECTOR._domainkey.DOMAIN to its file
    std::set<std::string> sites_;  // those whose replies have a meaning of their own
    bool smtp_listens_ = false;
};

}  // namespace posthorn::kumomta
