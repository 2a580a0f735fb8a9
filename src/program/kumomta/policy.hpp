// kumomta/policy.hpp: what a KumoMTA's init.lua asks for, once it was run and asked.                    KumoMTA's reference: kumo.*, events, policy helpers
// Shape    its calls in their order, its handlers, and what files and handlers say of sources, pools, queues, paths, domains and signatures: in the shapes of
//          the files of KumoMTA's policy helpers, whoever said it.
#pragma once

#include "base/error.hpp"
#include "kumomta/value.hpp"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace posthorn::kumomta {

/// kumo.NAME { ... }, within the handler `event` (empty: at the top).
struct Call {
    Place place;
    std::string name;  // "start_esmtp_listener"
    std::vector<Value> arguments;
    std::string event;
    /// The first argument; nothing where there is none.
    const Value& first() const;
};

/// kumo.on(EVENT, ...).
struct Handler {
    Place place;
    std::string event;
    std::string trouble;  // what it failed with when it was asked
    std::string besides;  // of one that acts on messages: what it does that is not carried over
};

/// os.getenv(NAME).
struct Variable {
    Place place;
    std::string name;
    bool is_set = false;
};

struct Policy {
    std::string path;
    std::vector<Call> calls;
    std::vector<Handler> handlers;
    Value sources;  // SOURCE = {source_address, ...}
    Value pools;  // POOL = {SOURCE = {weight}}
    Value queues;  // tenant_header, default_tenant, tenant = {TENANT = {...}}, queue = {default, DOMAIN = {..., TENANT = {...}}}
    Value shaping;  // default, DOMAIN, provider = {NAME}: options, sources = {SOURCE = {...}}, automation = [{...}]
    Value domains;  // DOMAIN = {relay_to, ...}; "listener" = {LISTENER = {DOMAIN = ...}}
    Value signing;  // base, domain = {DOMAIN}, signature = {NAME}
    bool tenants_are_pools = false;  // a handler names the pool after the tenant
    bool discards = false;  // every message goes to the queue "null"
    bool tenants_are_checked = false;  // an unknown tenant is refused, as the queue helper does
    std::vector<std::string> missing;  // files that it names and that are not there
    std::vector<Variable> environment;  // what it asked of the environment
};

/// What the translation has to know of this machine. Paths are whole.
struct Machine {
    std::function<Result<std::string>(const std::string& path)> read;
    std::function<bool(const std::string& path)> exists;
    std::string host_name;
    std::function<std::optional<std::string>(const std::string& name)> environment;
};

/// The policy of an init.lua: run, and asked for all names that it knows. Errors name file and line: of Lua, of a data file; a limit that was reached.
Result<Policy> read_policy(const std::string& path, const Machine& machine);

/// A data file's content, joined to what earlier files of its kind said. For `read_policy`, and for tests.
void add_sources(Policy& policy, Value file);
void add_queues(Policy& policy, Value file);
void add_shaping(Policy& policy, Value file);
void add_domains(Policy& policy, Value file);
void add_signing(Policy& policy, Value file);

}  // namespace posthorn::kumomta
