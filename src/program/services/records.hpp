// services/records.hpp: what of the configuration says which records are written (handoff/record.hpp).
#pragma once

#include "config/snapshot.hpp"
#include "handoff/record.hpp"

#include <string>
#include <string_view>

namespace posthorn::services {

/// Without a record_file nothing is wanted. Throws config::BadValue where a type or a field is none.
handoff::RecordOptions record_options(const config::Snapshot& snapshot);

/// The name-based UUID of a host (RFC 9562 5.5, SHA-1, in the namespace of DNS): what `uuid5(NAMESPACE_DNS, name)` says in other languages.
std::string host_uuid(std::string_view name);

}  // namespace posthorn::services
