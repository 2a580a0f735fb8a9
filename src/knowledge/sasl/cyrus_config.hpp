// sasl/cyrus_config.hpp: the file that says how Cyrus SASL proves who somebody is (smtpd.conf), and where it is.
// Shape    "name: value" a line; names in lower case; '#' and what is no such line is passed over, as the library does.
// Found    as NAME.conf in the first of the folders that has it; nowhere: all of the library's defaults, and file() is empty.
// Errors   a name that is no file's, a file that is there and cannot be read.
#pragma once

#include "base/error.hpp"

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::sasl {

class CyrusConfig {
public:
    static CyrusConfig parse(std::string_view text);
    /// `folders`: by colons, as in cyrus_sasl_config_path.
    static Result<CyrusConfig> find(const std::string& name, std::string_view folders);

    /// nullptr: not said.
    const std::string* option(std::string_view name) const;
    void set(std::string_view name, std::string value) { options_.insert_or_assign(std::string(name), std::move(value)); }
    const std::string& file() const { return file_; }

    /// Its passwords are asked of other hosts: a database, a directory, Kerberos.
    bool asks_network() const;
    /// Files and folders that the library's plugins open while clients are asked, absolute.
    std::vector<std::string> paths() const;

private:
    bool mentions(std::string_view option, std::string_view word) const;

    std::map<std::string, std::string, std::less<>> options_;
    std::string file_;
};

inline constexpr std::string_view default_saslauthd = "/var/run/saslauthd/mux", default_sasldb = "/etc/sasldb2";

}  // namespace posthorn::sasl
