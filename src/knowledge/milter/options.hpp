// milter/options.hpp: what main.cf says of filters, read once.
// Errors   config::BadValue with parameter and word: mail must not go by a filter because its name was misspelt.
#pragma once

#include "config/snapshot.hpp"
#include "milter/macros.hpp"
#include "milter/spec.hpp"

#include <string>
#include <vector>

namespace posthorn::milter {

struct Options {
    Settings settings;                        // what holds for filters that say nothing else
    std::vector<Spec> smtpd, other;           // smtpd_milters, non_smtpd_milters
    std::string smtpd_maps;                   // smtpd_milter_maps
    MacroLists lists;
    MacroDefaults defaults;
    std::string daemon_name, v;

    bool any_for_smtpd() const { return !smtpd.empty() || !smtpd_maps.empty(); }
    /// `overrides`: receive_override_options; with no_milters in them there are none.
    static Options from(const config::Snapshot& snapshot, std::string_view overrides);
};

}  // namespace posthorn::milter
