#include "sasl/cyrus_config.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <iterator>

namespace posthorn::sasl {

CyrusConfig CyrusConfig::parse(std::string_view text)
{
    CyrusConfig config;
    for (const std::string_view line : split_exact(text, '\n')) {
        const std::string_view said = trim(line);
        const auto colon = said.find(':');
        if (said.starts_with('#') || colon == std::string_view::npos || colon == 0)
            continue;
        const std::string_view name = trim(said.substr(0, colon));
        if (name.find_first_of(" \t") == std::string_view::npos)
            config.set(to_lower(name), std::string(trim(said.substr(colon + 1))));
    }
    return config;
}

Result<CyrusConfig> CyrusConfig::find(const std::string& name, std::string_view folders)
{
    if (name.empty() || name.find('/') != std::string::npos)
        return Error{fmt::format("{}: expected the name of a file of Cyrus SASL's, without folder and .conf", name)};
    for (const std::string_view folder : split(folders, ":")) {
        const std::string path = fmt::format("{}/{}.conf", folder, name);
        errno = 0;
        std::ifstream file(path);
        if (!file) {
            if (errno != ENOENT && errno != ENOTDIR)
                return system_error("open " + path, errno);
            continue;
        }
        CyrusConfig config = parse(std::string(std::istreambuf_iterator<char>(file), {}));
        config.file_ = path;
        return config;
    }
    return CyrusConfig{};
}

const std::string* CyrusConfig::option(std::string_view name) const
{
    const auto found = options_.find(name);
    return found == options_.end() ? nullptr : &found->second;
}

bool CyrusConfig::mentions(std::string_view option_name, std::string_view word) const
{
    const std::string* const value = option(option_name);
    return value && to_lower(*value).find(word) != std::string::npos;
}

bool CyrusConfig::asks_network() const
{
    return option("sql_engine") || option("ldapdb_uri") || mentions("auxprop_plugin", "sql") || mentions("auxprop_plugin", "ldapdb") ||
           mentions("mech_list", "gss") || mentions("mech_list", "gs2");
}

std::vector<std::string> CyrusConfig::paths() const
{
    std::vector<std::string> paths{"/dev/urandom"};
    const auto add = [&](std::string_view path) {
        if (path.starts_with('/'))
            paths.emplace_back(path);
    };
    const std::string* const database = option("sasldb_path");
    add(database ? std::string_view(*database) : default_sasldb);
    // A file of SQLite's has a journal beside it while it is written.
    if (const std::string* const sql = option("sql_database"); sql && sql->starts_with('/'))
        for (const std::string_view which : {"", "-journal", "-wal", "-shm"})
            add(*sql + std::string(which));
    if (mentions("mech_list", "gss") || mentions("mech_list", "gs2"))
        for (const char* const path : {"/etc/krb5.conf", "/etc/krb5.conf.d", "/etc/gss", "/etc/krb5.keytab"})
            add(path);
    if (const std::string* const keytab = option("keytab"))
        add(keytab->starts_with("FILE:") ? std::string_view(*keytab).substr(5) : std::string_view(*keytab));
    return paths;
}

}  // namespace posthorn::sasl
