// tools/postconf_parameters.hpp: which parameters there are, and what they are.
// builtin  Postfix's (and our own, from the rooms' lists). service: those that master.cf's delivery services get by their name
//          ("relay_destination_rate_delay"). user: names of main.cf that some value refers to ("$mua_client_restrictions"), members of
//          smtpd_restriction_classes, and the settings of a database that a value names ("ldap:name": name_search_base).
// Warnings "FILE: unused parameter: name=value" for what is none of these, "FILE: undefined parameter: name" for what is referred to
//          and defined nowhere.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "config/master_entry.hpp"
#include "config/snapshot.hpp"

namespace posthorn::tools {

class Parameters {
public:
    /// `written` holds main.cf and -o; absent for -d.
    Parameters(config::Snapshot defaults, std::optional<config::Snapshot> written, std::vector<config::MasterEntry> services);

    /// All names of the classes (letters b s u), sorted.
    std::vector<std::string> names(std::string_view classes) const;
    bool exists(const std::string& name, std::string_view classes) const;

    std::optional<std::string> default_of(const std::string& name) const;
    /// Only what main.cf or -o says.
    std::optional<std::string> written(const std::string& name) const;
    /// `value` with its $names replaced. Throws Failure where it is malformed. Parameters that are never expanded stay.
    std::string expanded(const std::string& name, const std::string& value) const;
    /// The same for a service's own parameter: its other -o come first.
    std::string expanded(const config::MasterEntry& service, const std::string& value) const;

    void warn_unused(std::string_view main_path, std::string_view master_path, bool main, bool quiet, std::vector<std::string>& warnings) const;

private:
    void find_user_parameters(const config::Snapshot& written);
    bool is_defined(const std::string& name) const;

    config::Snapshot defaults_;
    std::optional<config::Snapshot> written_;
    std::vector<config::MasterEntry> services_;
    std::set<std::string> builtin_;
    std::map<std::string, std::string> service_;  // with default
    std::set<std::string> user_, undefined_main_, undefined_master_;
    std::vector<std::set<std::string>> local_;    // per service: its own -o names that its values refer to
};

}  // namespace posthorn::tools
