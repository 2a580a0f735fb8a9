#include "commands/check.hpp"

#include "base/strings.hpp"
#include "catalogue/unserved.hpp"
#include "commands/command.hpp"
#include "config/master_cf.hpp"
#include "report/explanations.hpp"
#include "route/params.hpp"
#include "route/pools.hpp"
#include "supervisor/layout.hpp"
#include "tables/table.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <string_view>

namespace posthorn::commands {

namespace {

class Permissions {
public:
    explicit Permissions(const config::Snapshot& snapshot) : snapshot_(snapshot) {}

    std::vector<std::string> look()
    {
        const auto mail = supervisor::identity(snapshot_);
        if (!mail)
            return {mail.error().text()};
        const bool root = ::geteuid() == 0;
        const uid_t top = ::geteuid();
        const std::string top_name = root ? "root" : "the user who runs it", mail_name = root ? snapshot_.text("mail_owner") : top_name;
        for (const char* name : {"", "/main.cf", "/master.cf"})
            judge(snapshot_.config_directory() + name, top, top_name);
        const std::string programs = executable_folder();
        for (const char* name : {"posthorn", "posthorn-master", "postdrop", "postqueue"})
            judge(programs + name, top, top_name);
        if (root)
            for (const char* name : {"postdrop", "postqueue"})
                judge_set_gid(programs + name, mail->drop_gid);
        for (const char* name : {"/spool", "/spool/incoming"}) {
            std::error_code trouble;
            for (const auto& entry : std::filesystem::directory_iterator(snapshot_.text("queue_directory") + name, trouble))
                judge(entry.path(), mail->uid, mail_name);
            if (trouble)
                warnings_.push_back(fmt::format("{}{}: {}", snapshot_.text("queue_directory"), name, trouble.message()));
        }
        return std::move(warnings_);
    }

private:
    void judge(const std::string& path, uid_t owner, const std::string& name)
    {
        struct stat about{};
        if (::stat(path.c_str(), &about) != 0)
            return;                                                // a file that went while we looked, or an installation without it
        if (about.st_uid != owner && about.st_uid != 0)
            warnings_.push_back(fmt::format("not owned by {}: {}", name, path));
        if ((about.st_mode & 022) != 0)
            warnings_.push_back("group or other writable: " + path);
    }

    void judge_set_gid(const std::string& path, gid_t group)
    {
        struct stat about{};
        if (::stat(path.c_str(), &about) != 0)
            return;
        if (about.st_gid != group)
            warnings_.push_back(fmt::format("not owned by group {}: {}", snapshot_.text("setgid_group"), path));
        if ((about.st_mode & 02111) != 02111)
            warnings_.push_back("not set-gid or not owner+group+world executable: " + path);
    }

    const config::Snapshot& snapshot_;
    std::vector<std::string> warnings_;
};

// They need no process: qmgr does what they say.
constexpr std::string_view own_transports[] = {"error", "retry", "discard"};

constexpr std::string_view transport_parameters[] = {"local_transport",
                                                     "virtual_transport",
                                                     "relay_transport",
                                                     "default_transport",
                                                     "address_verify_local_transport",
                                                     "address_verify_virtual_transport",
                                                     "address_verify_relay_transport",
                                                     "address_verify_default_transport",
                                                     "best_mx_transport",
                                                     "fallback_transport",
                                                     "mailbox_transport"};

bool is_among(const std::vector<std::string>& services, std::string_view name)
{
    return std::ranges::find(services, name) != services.end() || std::ranges::find(own_transports, name) != std::end(own_transports);
}

/// Ways to other machines (services/queue_standby.hpp, sibling_desk.hpp) that are no line of master.cf.
void find_missing_ways(const config::Snapshot& snapshot, const std::vector<std::string>& services, std::vector<std::string>& warnings)
{
    for (const std::string_view name : {"queue_standby", "memory_siblings"}) {
        const config::Definition* const written = snapshot.definition(name);
        if (!written)
            continue;
        const std::string value = snapshot.text(name);
        for (const std::string_view way : split(value, ", \t"))
            if (std::ranges::find(services, way) == services.end())
                warnings.push_back(fmt::format("{}: {}: {}/master.cf has no service {}: it leads nowhere", written->place(), name,
                                               snapshot.config_directory(), way));
    }
}

/// What main.cf sends to a service that master.cf does not have.
void find_missing_services(const config::Snapshot& snapshot, const std::vector<std::string>& services, std::vector<std::string>& warnings)
{
    const auto pools = route::Pools::parse(snapshot.get(route::pooled_transports));
    if (!pools)
        return;                                                    // posthorn-master has said why
    const config::Definition* const pooled = snapshot.definition("pooled_transports");
    for (const auto& [pool, members] : pools->all()) {
        const auto warn = [&](const std::string& what) {
            warnings.push_back(
                fmt::format("{}: pooled_transports: {}/master.cf has {}", pooled ? pooled->place() : "", snapshot.config_directory(), what));
        };
        if (is_among(services, pool))
            warn(fmt::format("a service {}: the pool of that name has its mail", pool));
        for (const route::Pools::Member& member : members)
            if (!is_among(services, member.transport))
                warn(fmt::format("no service {}: mail that the pool {} gives it waits", member.transport, pool));
    }
    for (const std::string_view name : transport_parameters) {
        const config::Definition* const written = snapshot.definition(name);
        if (!written)
            continue;
        const std::string value = snapshot.text(name), service = value.substr(0, value.find(':'));
        if (service.empty() || is_among(services, service) || pools->members(service))
            continue;
        warnings.push_back(
            fmt::format("{}: {}: {}/master.cf has no service {}: mail for it waits", written->place(), name, snapshot.config_directory(), service));
    }
}

/// What bounce_explanation_maps would leave out of a report. What a table has to say of its own form, resolve says when it starts.
void find_faulty_texts(const config::Snapshot& snapshot, std::vector<std::string>& warnings)
{
    const SystemClock clock;
    tables::Tables tables(observe::Log(std::make_shared<observe::MemorySink>(), "postfix"), clock);
    for (const std::string& fault : report::explanation_faults(snapshot, tables)) {
        const config::Definition* const written = snapshot.definition(fault.substr(0, fault.find(':')));
        warnings.push_back(fmt::format("{}: {}", written ? written->place() : "", fault));
    }
}

/// What master.cf sets, and by which names mail leaves.
struct OwnSettings {
    explicit OwnSettings(const config::Snapshot& snapshot) : master_cf(config::read_master_cf(snapshot.config_directory() + "/master.cf"))
    {
        if (!master_cf)                                            // posthorn-master has said why
            return;
        for (const config::ServiceLine& line : master_cf->services) {
            overrides.insert(overrides.end(), line.overrides.begin(), line.overrides.end());
            if (line.type == config::Transport::unix_stream)
                transports.push_back(line.name);
        }
    }
    Result<config::MasterCf> master_cf;
    std::vector<std::string> transports;
    std::vector<config::Assignment> overrides;
};

}  // namespace

std::vector<std::string> parameter_warnings(const config::Snapshot& snapshot)
{
    const OwnSettings own(snapshot);
    std::vector<std::string> warnings = catalogue::unserved(snapshot, own.transports, own.overrides);
    if (own.master_cf) {
        find_missing_services(snapshot, own.transports, warnings);
        find_missing_ways(snapshot, own.transports, warnings);
    }
    find_faulty_texts(snapshot, warnings);
    return warnings;
}

std::vector<std::string> parameter_notes(const config::Snapshot& snapshot)
{
    const OwnSettings own(snapshot);
    return catalogue::unserved(snapshot, own.transports, own.overrides, true);
}

std::vector<std::string> permission_warnings(const config::Snapshot& snapshot) { return Permissions(snapshot).look(); }

}  // namespace posthorn::commands
