// migrate/table_survey.hpp: the tables that a configuration names, each opened as a service would.
#pragma once

#include "config/master_cf.hpp"
#include "migrate/survey.hpp"

#include <string_view>

namespace posthorn::migrate {

/// In order of their names. Servers are not asked: of those tables only the configuration file is read.
std::vector<TableState> survey_tables(const config::Snapshot& snapshot, const config::MasterCf& master_cf);

/// Whether a parameter's value names services, hosts or folders, whatever it looks like.
bool names_no_table(std::string_view parameter);
/// Whether mail can be sent to this service by a table: one of them has it as a value, or cannot be looked through.
bool table_names(const std::vector<TableState>& tables, std::string_view transport);

}  // namespace posthorn::migrate
