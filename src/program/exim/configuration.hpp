// exim/configuration.hpp: Exim's runtime configuration, read.                     Exim's specification, chapters 6 (the file), 44 (ACLs), 31, 32
// Shape    a tree of statements as they stand behind macros, conditions and includes: main options, named lists, ACLs, driver instances in their
//          order, retry and rewrite rules. Nothing is expanded: values are what Exim's expander would be given, quotes of "..." taken off.
// Reads    by a callback alone. Macros that the program defines itself (their names begin with "_") are absent, but for
//          _HAVE_TLS.
// Limits   depth of includes, length of a line behind macros, lines: a file of them is an Error.
// Errors   "FILE, line N: ..."; nothing of a file with an error is given.
#pragma once

#include "base/error.hpp"
#include "migrate/translation.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::exim {

using migrate::Place;

/// "name = value". A switch that stands alone is "true"; "no_name" and "not_name" are the name with "false".
struct Option {
    Place place;
    std::string name, value;
    bool hidden = false;                // "hide": the value is not shown
};

struct NamedList {
    enum class Kind { domains, hosts, addresses, local_parts };
    Place place;
    Kind kind = Kind::domains;
    std::string name, value;
    bool hidden = false;
};

/// A condition or modifier of an ACL statement, in its place: their order decides what a message is for.
struct Condition {
    Place place;
    std::string name, value;            // "endpass" has no value; "set acl_m_x" is "set" with "acl_m_x = ..."
    bool negated = false;
};

struct AclStatement {
    Place place;
    std::string verb;                   // accept, defer, deny, discard, drop, require, warn
    std::vector<Condition> conditions;
};

struct Acl {
    Place place;
    std::string name;
    std::vector<AclStatement> statements;
};

/// A router, a transport or an authenticator.
struct Instance {
    Place place;
    std::string name, driver;
    std::vector<Option> options;        // without "driver"
    const Option* find(std::string_view option) const;
    /// The value; empty where it is not set.
    std::string_view text(std::string_view option) const;
    /// A switch that is set and not "false" or "no".
    bool is_on(std::string_view option) const;
};

struct RetryRule {
    Place place;
    std::string pattern, error;
    std::string senders;                // of "senders=...", empty: any
    std::string times;                  // "F,2h,15m; G,16h,1h,1.5; F,4d,6h"
};

struct RewriteRule {
    Place place;
    std::string pattern, replacement, flags;
};

struct Configuration {
    std::vector<Option> main;
    std::vector<NamedList> lists;
    std::vector<Acl> acls;
    std::vector<Instance> routers, transports, authenticators;
    std::vector<RetryRule> retry;
    std::vector<RewriteRule> rewrite;
    std::vector<Option> local_scan;
    const Option* find(std::string_view option) const;      // the last one: it is the one that counts
    std::string_view text(std::string_view option) const;
    const NamedList* list(NamedList::Kind kind, std::string_view name) const;
    const Acl* acl(std::string_view name) const;
    const Instance* transport(std::string_view name) const;
};

/// The text of a file. An Error for one that is not there; `.include_if_exists` takes any Error for that.
using ReadFile = std::function<Result<std::string>(const std::string& path)>;

Result<Configuration> read_configuration(const std::string& path, const ReadFile& read);

}  // namespace posthorn::exim
