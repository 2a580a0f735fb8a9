// exim/translator.hpp: the work of translate(), shared by its files: main_options.cpp, routing.cpp with classes.cpp, delivery.cpp, access.cpp with
//   statement.cpp, retry.cpp, rules.cpp.
// Every statement has its verdict by `judge`; `finish()` gives one to what nobody has spoken of.
#pragma once

#include "exim/translate.hpp"

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace posthorn::exim {

/// A domain of the configuration, or a pattern of domains, or all that it does not name.
struct Token {
    enum class Kind { text, suffix, regex, elsewhere };
    Kind kind = Kind::text;
    std::string text;
    friend auto operator<=>(const Token&, const Token&) = default;
};

/// Entries of an alias file under the local parts of a domain.
struct AliasEntries {
    std::map<std::string, std::string> entries;  // local part ("*": any) to what it is there
    const Instance* router = nullptr;
    bool of_files = false;
    bool seen_on = false;  // `unseen`: routers behind it get these addresses too
};

/// Where mail for a token goes, once its aliases are followed.
struct Destination {
    enum class Kind { none, local, mailbox, lmtp, manual, dns, fails };
    Kind kind = Kind::none;
    const Instance* router = nullptr;
    const Instance* transport = nullptr;
    std::string next_hop;  // of manual: "[host]:port, [host]"
    std::string text;  // of fails
    std::vector<AliasEntries> aliases;
    std::optional<PatternSet> recipients;  // none: whoever the kind has; else these local parts
    std::string unknown_users;  // of local: the address for whoever is no user
};

/// Modifiers of an ACL that decide nothing about who gets in.
bool is_modifier(std::string_view name);
/// A time of Exim's ("1h30m") as one of main.cf's ("90m"); what is none stays as it is.
std::string as_time(std::string_view text);
/// A statement in one line.
std::string text_of(const AclStatement& statement);

using DestinationKind = Destination::Kind;
/// What a router's verdicts are about.
inline std::string where_of(const Instance& router) { return "router " + router.name; }

class Translator {
public:
    Translator(const Configuration& tree, const Machine& machine);
    Translation translate();

private:
    using Kind = Verdict::Kind;

    // --- verdicts and what is written
    void judge(const Place& place, std::string where, std::string statement, Kind kind, std::string text, bool loud = false);
    void judge(const Option& option, const std::string& where, Kind kind, std::string text);
    bool is_judged(const Place& place, std::string_view where, std::string_view statement) const;
    /// Sets it, or adds a reason to what has this value already.
    void set(std::string name, std::string value, const Place* place, std::string_view statement = {});
    void append(const std::string& name, const std::string& item, std::string_view because);
    std::string add_table(std::string name, std::string type, std::string content, bool secret = false);
    static std::string shown(const Option& option);
    PatternSet set_of(std::string_view list, ListOf what) const { return sets_.read(list, what); }
    Outcome known(std::string_view text) const { return evaluate(text, known_); }
    /// Of the environment that Exim keeps (keep_environment, add_environment), as it is where this runs. What was asked for is remembered.
    std::optional<std::string> kept_variable(const std::string& name) const;
    void environment_verdict();
    void finish();

    // --- main_options.cpp
    void main_options();
    bool main_option(const Option& option);
    bool named_option(const Option& option, const std::string& value);
    bool offered_option(const Option& option, std::string_view hosts);
    bool certificate(const Option& option, const Outcome& value);
    bool banner(const Option& option);
    bool set_main(const Option& option, const std::string& parameter, const std::string& value);
    bool unneeded_main(const Option& option, std::string why);
    void listen();
    void named_lists();
    std::string unique_name(const std::string& wanted) const;

    // --- routing.cpp: routers to address classes and tables
    void routing();
    void collect_tokens();
    void add_tokens(const PatternSet& set);
    Destination follow(const Token& token);
    enum class Step { passes, ends };
    Step router(const Instance& one, const Token& token, Destination& destination);
    Step redirect(const Instance& one, const Token& token, Destination& destination);
    Step manual(const Instance& one, const Token& token, Destination& destination);
    Step accept(const Instance& one, const Token& token, Destination& destination);
    Step discard(const Instance& one, const std::optional<PatternSet>& parts, Destination& destination);
    Step remote(const Instance& one, const Token& token, Destination& destination);
    bool parts_of(const Instance& one, const Token& token, std::optional<PatternSet>& parts);
    Known known_of(const Token& token) const;
    std::set<std::string> named_local_parts(std::string_view text, const Token& token, int depth = 0) const;
    std::optional<PatternSet> parts_where(std::string_view condition, const Token& token, const Known& here) const;
    std::optional<AliasEntries> computed_aliases(const Option& data, const Token& token, AliasEntries aliases,
                                                 const std::optional<PatternSet>& parts) const;
    bool condition_holds(const Instance& one, const Option& option, const Token& token);
    std::optional<bool> files_are_there(const Option& option, const Token& token) const;
    void see_on(Destination& destination, const Token& token) const;
    void unrouted_verdict();
    bool comes_second(const Instance& one, const Destination& destination);
    bool in_domains(const Instance& one, const Token& token);
    bool usable(const Instance& one, const Token& token);
    std::optional<std::string> next_hops(const std::string& hosts, const Instance& one);
    std::optional<AliasEntries> aliases_of(const Instance& one, const Token& token);
    void authorized();

    // --- classes.cpp: what came of the routes, written
    void write_classes();
    void write_class(const Token& token, const Destination& destination, const Destination& rest);
    void write_rest(const Destination& rest);
    void write_domain_list(const char* parameter, const std::vector<Token>& tokens, const char* table);
    void write_entries(const std::map<std::string, std::string>& entries, const std::string& parameter, const std::string& name,
                       std::string_view comment);
    void write_local_recipients(const std::map<Token, Destination>& local, const std::map<std::string, std::string>& aliases);
    void write_aliases(const std::map<Token, Destination>& local);
    void write_virtual(const Token& token, const Destination& destination);
    void write_mailboxes();
    /// Whose a mailbox is where nobody is named: the name, and its ids.
    std::optional<std::pair<std::string, std::pair<unsigned, unsigned>>> user_of_exim() const;
    void router_verdicts();
    std::string list_value(const std::vector<Token>& tokens, const std::string& table);
    std::string qualified(std::string address, const std::string& domain) const;
    bool special_entry(const std::string& address, const std::string& target);
    std::vector<std::string> special_targets(const std::string& local, const Token& token, const Destination& destination, const std::string& target);
    void route_entry(const std::string& key, const std::string& value);

    // --- delivery.cpp: transports
    void transports();
    std::vector<std::pair<std::string, std::string>> smtp_options(const Instance& one);
    void tls_policy(const Option& option, const std::string& where);
    void trust_system(std::vector<std::pair<std::string, std::string>>& options) const;
    std::string service_of(const Instance& transport);
    void mailbox_transport(const Instance& one);
    void transport_verdicts();

    // --- access.cpp: ACLs
    void access();
    void acl_into(std::string_view option, const std::string& parameter);
    void reject_connections();
    class Statement;  // statement.cpp: one of an ACL
    class Chain;      // statement_chain.hpp: its conditions as tables
    void statement(const Acl& acl, const AclStatement& one, const std::string& parameter);
    std::string asked_of_dns(const std::string& side);
    std::optional<bool> constant(const Condition& condition, int depth) const;
    std::optional<bool> constant_acl(std::string_view name, int depth) const;

    // --- retry.cpp
    void retry_rules();

    // --- rules.cpp: rewrite, authenticators
    void rewrite_rules();
    void authenticators();
    void client(const Instance& one);
    void server(const Instance& one);
    void write_passwords();
    bool rewrite_rule(const Place& place, const std::string& where, const std::string& statement, const std::string& pattern,
                      const std::string& replacement, const std::string& flags, bool leaving);
    bool client_passwords(const std::string& text);
    bool client_literals(const Instance& one);

    const Configuration& tree_;
    const Machine& machine_;
    Known known_;
    SetReader sets_;
    Translation out_;
    std::string host_, qualify_, qualify_recipient_;
    std::set<std::pair<Place, std::string>> judged_;

    std::set<Token> tokens_;
    std::map<Token, Destination> destinations_;
    std::vector<Token> local_, relayed_, mailboxes_, aliased_, unrouted_;  // unrouted_: no router takes its mail
    PatternSet authorized_;
    std::map<const Instance*, std::set<std::string>> taken_by_;  // routers and the tokens they decided about
    std::set<const Instance*> unusable_, used_transports_;
    std::map<const Instance*, PatternSet> asked_parts_;  // of the token that is followed: whom a router's condition holds for
    const Instance* main_transport_ = nullptr;  // the smtp transport of mail for elsewhere
    std::map<std::string, std::string> routes_, virtual_aliases_;
    struct SmartHost {
        std::string host, port;  // port: empty where it is 25
        std::string next_hop() const { return "[" + host + "]" + (port.empty() ? "" : ":" + port); }
    };
    std::vector<SmartHost> smart_hosts_;
    bool can_authenticate_ = false;
    std::map<std::string, std::map<std::string, std::string>> rewriting_;  // entries by parameter
    std::map<std::string, std::string> passwords_;  // next hop or host to "user:password"
    bool passwords_in_tls_ = false;  // plain ones inside TLS alone
    std::map<std::string, std::string> tls_policies_;  // next hop to level
    std::vector<std::string> classes_;
    mutable std::map<std::string, bool> asked_variables_;  // name to whether it is set
    std::set<std::string> never_rewritten_;  // addresses, or "@domain"
};

}  // namespace posthorn::exim
