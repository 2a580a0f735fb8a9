// config/snapshot.hpp: the configuration of one service at one moment, immutable and cheap to copy (a shared pointer).
// Shape    what was written (main.cf, then `-o` of master.cf and of the command line) over the defaults of every Postfix
//          parameter and of our own; values are kept as written and expanded when read.
// Reading  `snapshot.get(smtp_rcpt_timeout)`: expanded, converted, within limits. Rooms read once, into their Options.
//          `snapshot.get(smtp_rcpt_timeout, "lmtp")`: the LMTP twin. `snapshot.get(transport_destination_rate_delay, "relay")`:
//          a service's own name of a family.
// Errors   `validated()` lists every wrong value with file, line, parameter and value. get() of a value that validated() would
//          refuse throws BadValue (start-up only: a snapshot is validated before anything runs on it).
// Bytes    serialise() and parse() carry a snapshot over a descriptor: only the master reads files.
#pragma once

#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "config/main_cf.hpp"
#include "config/param.hpp"
#include "config/site.hpp"

namespace posthorn::config {

struct BadValue : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Where a value was written.
struct Definition {
    std::string value;
    std::string origin;                           // "/etc/postfix/main.cf", "/etc/postfix/master.cf", "-o"; empty: built in
    int line = 0;
    /// "/etc/postfix/main.cf, line 12"
    std::string place() const;
};

/// What a check found. `errors` empty: the snapshot may be used.
struct Report {
    std::vector<std::string> errors, warnings;
};

class Snapshot {
public:
    /// The defaults alone. `own` are our parameters that are not in Postfix's table (others in the lists are ignored here).
    Snapshot(Site site, std::string config_directory, ParamLists own);
    /// main.cf over the defaults.
    Snapshot(Site site, std::string config_directory, const MainCf& main_cf, ParamLists own);

    /// The same with `overrides` on top (master.cf -o, command line -o; the last one wins).
    Snapshot with(std::span<const Assignment> overrides, std::string_view origin) const;
    /// For a service of master.cf: its overrides, and $service_name, $process_name.
    Snapshot for_service(std::string_view service_name, std::string_view process_name, std::span<const Assignment> overrides,
                         std::string_view origin) const;

    template <class T>
    T get(const Param<T>& param) const
    {
        return from_value<T>(value(ParamInfo{param}, std::string{param.name}));
    }
    /// Under another first word: the LMTP twin, or a service's name in a transport_ family.
    template <class T>
    T get(const Param<T>& param, std::string_view as) const
    {
        return from_value<T>(value(ParamInfo{param}, name_as(param.name, as)));
    }

    /// The expanded value of any name; empty where it is undefined. Throws BadValue where the expression is malformed.
    std::string text(std::string_view name) const;
    /// As written; the default where nothing was written; nothing where the name is unknown.
    std::optional<std::string> as_written(std::string_view name) const;
    /// Only what was written.
    const Definition* definition(std::string_view name) const;
    /// The default as written, or computed from the site.
    std::optional<std::string> default_of(std::string_view name) const;
    Result<std::string> expand(std::string_view text) const;
    /// As written or by default, like as_written(), without a copy; lives as long as this snapshot.
    std::optional<std::string_view> lookup(std::string_view name) const;

    /// Checks every parameter of the rooms' lists (unit, range, expression), families for `transports` (the names of
    /// master.cf's delivery services), and names parameters nobody knows: "FILE: unused parameter: name=value".
    Report validated(ParamLists rooms, std::span<const std::string> transports = {}, std::span<const Assignment> master_cf = {}) const;

    const std::string& config_directory() const;
    /// Every name that was written, with its definition, sorted by name.
    std::vector<std::pair<std::string_view, const Definition*>> written() const;
    /// What parsing main.cf warned of.
    const std::vector<std::string>& warnings() const;

    std::string serialise() const;
    static Result<Snapshot> parse(std::string_view bytes);

private:
    struct Data;
    explicit Snapshot(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
    Value value(const ParamInfo& info, const std::string& name) const;
    Result<Value> try_value(const ParamInfo& info, const std::string& name) const;

    std::shared_ptr<const Data> data_;
};

/// Reads DIRECTORY/main.cf for this host: what nearly every program starts with. Error as read_main_cf().
Result<Snapshot> load(const std::string& config_directory, std::string_view process_name, ParamLists own);

}  // namespace posthorn::config
