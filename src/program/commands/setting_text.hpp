// commands/setting_text.hpp: one parameter explained: what it is set to and where, which lines of master.cf set it otherwise, what it is for, whether anything here acts on
// it, and whether what is written is in force. Pure.
#pragma once

#include "config/master_cf.hpp"
#include "config/snapshot.hpp"
#include "inquiry/configuration.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::commands {

struct SettingAsked {
    const config::Snapshot& written;  // what the files say
    const config::MasterCf& master_cf;
    const inquiry::InForce* in_force;  // null: see `trouble`
    std::string trouble;  // why nobody knows what is in force: "the mail system is down"
};

struct Setting {
    struct Line {
        std::string key, value, place;  // "relay/unix", "encrypt", "/etc/postfix/master.cf, line 30"
        std::string text() const;
    };
    std::string name, value;  // as written, or by default
    std::string expanded;  // where it refers to others: what it comes to; empty: it does not
    std::string place;  // where it is written; empty: nowhere
    std::optional<std::string> initial;  // the default as written; none: it is no parameter, but a name of the administrator's
    std::vector<Line> lines;  // of master.cf that set it
    std::vector<std::string> used_by;  // parameters whose value refers to it, as they are written or by default
    std::string says, here;  // what it is for; where it is not simply acted on, what is so instead
    std::optional<std::string> in_force;  // where that is another value: the one in force, as written or by default
};

/// None: nobody knows this name.
std::optional<Setting> setting(const SettingAsked& asked, const std::string& name);
/// Up to five parameters that look like it.
std::vector<std::string> names_like(const config::Snapshot& written, std::string_view name);

std::string setting_text(const Setting& setting, const SettingAsked& asked);
std::string setting_json(const Setting& setting, const SettingAsked& asked);

}  // namespace posthorn::commands
