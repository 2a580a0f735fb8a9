// tables/source_config.hpp: the parameters of a table whose source has some: sql, ldap, memcache, redis.   mysql_table(5), ldap_table(5)
// Shape    "kind:/path" or "kind:./path": a file in main.cf's format; "kind:name": main.cf's own parameters name_hosts, name_query ...
// Errors   name file, line and parameter. A parameter that nobody knows is none: files are shared between versions.
#pragma once

#include "tables/table.hpp"

#include <map>

namespace posthorn::tables {

class SourceConfig {
public:
    static Result<SourceConfig> read(const std::string& name, const Site& site);

    /// As it stands, or `otherwise` where it is not set.
    std::string text(const std::string& name, std::string_view otherwise = {}) const;
    bool has(const std::string& name) const { return values_.contains(name); }
    /// Not empty.
    Result<std::string> required(const std::string& name) const;
    Result<std::uint64_t> number(const std::string& name, std::uint64_t otherwise, std::uint64_t least, std::uint64_t most) const;
    Result<bool> yes(const std::string& name, bool otherwise) const;
    /// Words at blanks and commas.
    std::vector<std::string> words(const std::string& name, std::string_view otherwise = {}) const;
    /// "/etc/x.cf, line 3: query: WHY"
    Error wrong(const std::string& name, std::string_view why) const;

private:
    struct Value {
        std::string text;
        int line = 0;
    };
    std::string source_;                         // the file, or "main.cf"
    std::string prefix_;                         // of the names in main.cf
    std::map<std::string, Value> values_;
    std::function<std::optional<std::string>(const std::string&)> parameter_;
};

/// The file of "kind:/path"; none where its parameters stand in main.cf.
bool is_source_file(std::string_view name);

}  // namespace posthorn::tables
