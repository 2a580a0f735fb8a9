// peers/stored.hpp: records and observations as octets.
// Trust    records: what we wrote ourselves, an older or newer version of us included. Observations come from processes that speak with
//          strangers: texts are cut, numbers held against their ranges, what is not known is left out; nothing in them names another peer.
// Errors   none: octets that are no record are no record.
#pragma once

#include "peers/early.hpp"
#include "peers/manners.hpp"
#include "peers/observation.hpp"
#include "peers/portrait.hpp"
#include "peers/record.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::peers {

namespace stored {
class Observed;
}

std::string octets_of(const Record& record);
std::string octets_of(const SiteRecord& record);
std::string octets_of(const EarlyRecord& record);
std::string octets_of(const Manners& manners);
std::string octets_of(const Restraint& restraint);
std::string octets_of(const Portrait& portrait);
std::string octets_of_forgotten(WallTime when);
std::optional<WallTime> forgotten_of(std::string_view octets);
std::optional<Portrait> portrait_of(std::string_view octets);
std::optional<EarlyRecord> early_record_of(std::string_view octets);
std::optional<Manners> manners_of(std::string_view octets);
std::optional<Restraint> restraint_of(std::string_view octets);
std::optional<Record> record_of(std::string_view octets);
std::optional<SiteRecord> site_of(std::string_view octets);

stored::Observed frame_of(const std::string& name, const Manners& manners);
/// The name it is of; empty: it is an observation.
std::pair<std::string, Manners> manners_of(const stored::Observed& frame);
/// None: nothing is held back any more.
stored::Observed frame_of(const std::string& set, const std::optional<Restraint>& restraint);
/// The set it is of; empty: it is of none.
std::pair<std::string, std::optional<Restraint>> restraint_of(const stored::Observed& frame);
stored::Observed frame_of(const Observation& observation);
Observation observation_of(const stored::Observed& frame);

}  // namespace posthorn::peers
