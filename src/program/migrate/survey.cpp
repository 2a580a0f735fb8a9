#include "migrate/survey.hpp"

#include "base/strings.hpp"
#include "catalogue/catalogue.hpp"
#include "catalogue/unserved.hpp"
#include "config/known.hpp"
#include "config/master_cf.hpp"
#include "deliver/pipe_line.hpp"
#include "migrate/table_survey.hpp"
#include "supervisor/loaded.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <map>
#include <set>

namespace posthorn::migrate {

namespace {

using Kind = Finding::Kind;

/// What stands beside postscreen: all that it does is done, without it.
struct Idle {
    std::string_view command, follows;
};
constexpr auto idle_services = std::to_array<Idle>({
    {"dnsblog", "has nothing to do here: DNS lists are asked by smtpd"},
    {"tlsproxy", "has nothing to do here: TLS is done by smtpd"},
});

class Surveyor {
public:
    Surveyor(Survey& survey, const config::MasterCf& master_cf) : survey_(survey), master_cf_(master_cf) {}

    void look()
    {
        survey_.parameters = survey_.snapshot.written().size();
        survey_.services = master_cf_.services.size();
        start();
        parameters();
        survey_.tables = survey_tables(survey_.snapshot, master_cf_);
        services();
        files();
        needs();
        defaults();
    }

private:
    void find(Kind kind, std::string place, std::string subject, std::string text) { put(survey_.findings, kind, place, subject, text); }
    static void put(std::vector<Finding>& into, Kind kind, std::string place, std::string subject, std::string text)
    {
        Finding& finding = into.emplace_back();
        finding.kind = kind;
        finding.place = std::move(place);
        finding.subject = std::move(subject);
        finding.text = std::move(text);
    }

    void start()
    {
        const auto loaded = supervisor::load_configuration(survey_.directory, catalogue::all_parameters());
        if (!loaded) {
            survey_.starts = false;
            for (const std::string& error : loaded.error())
                find(Kind::start, "", "", error);
            return;
        }
        for (const supervisor::ProcessLine& line : loaded->table.lines)
            if (line.program == "pipe")
                pipes_.emplace(line.key, line.arguments);
        for (const std::string& warning : loaded->warnings)
            if (warning.find("is not offered") == warning.npos)    // said of the service
                find(Kind::start, "", "", warning);
    }

    void parameters()
    {
        std::vector<config::Assignment> overrides;
        std::vector<std::string> transports;
        for (const config::ServiceLine& line : master_cf_.services) {
            overrides.insert(overrides.end(), line.overrides.begin(), line.overrides.end());
            if (line.type == config::Transport::unix_stream)
                transports.push_back(line.name);
        }
        for (catalogue::Unserved& one : catalogue::unserved_parameters(survey_.snapshot, transports, overrides)) {
            if (one.by_design) {
                put(survey_.notes, Kind::parameter, std::move(one.place), std::move(one.name), "decides nothing here: " + one.follows);
                continue;
            }
            find(Kind::parameter, std::move(one.place), std::move(one.name), "is not acted on: " + one.follows);
            survey_.findings.back().line = one.line;
            survey_.findings.back().in_master_cf = one.in_master_cf;
        }
    }

    /// Whether mail can come to a transport: Debian's file lists pipe services that nobody uses.
    bool used(const config::ServiceLine& service) const
    {
        const config::Snapshot& snapshot = survey_.snapshot;
        const auto text = [&](std::string_view name) {
            try {
                return snapshot.text(name);
            } catch (const config::BadValue&) {
                return std::string{};
            }
        };
        const auto goes_there = [&](std::string_view value) {
            return value == service.name || (value.starts_with(service.name) && value.substr(service.name.size()).starts_with(':'));
        };
        if (goes_there(text("local_transport")) && !text("mydestination").empty())
            return true;
        if (goes_there(text("virtual_transport")) && !text("virtual_mailbox_domains").empty())
            return true;
        for (const auto& [name, definition] : snapshot.written()) {
            if (name == "local_transport" || name == "virtual_transport")
                continue;
            const auto value = snapshot.expand(definition->value);
            if (!value)
                continue;
            for (const std::string_view piece : split(*value, ", \t\r\n{}="))
                if (goes_there(piece))
                    return true;
        }
        return table_names(survey_.tables, service.name);
    }

    void services()
    {
        for (const config::ServiceLine& service : master_cf_.services) {
            std::string follows;
            if (const auto pipe = pipes_.find(service.key()); pipe != pipes_.end() && used(service))
                if (const auto line = deliver::parse_pipe_line(pipe->second); !line)
                    follows = "mail for it is deferred: " + line.error().text();
            const std::string place = fmt::format("{}, line {}", master_cf_.path, service.line),
                              subject = fmt::format("{} ({})", service.key(), service.command);
            const auto idle = std::ranges::find(idle_services, std::string_view(service.command), &Idle::command);
            // Without postscreen they have nothing to do there either.
            if (idle != idle_services.end() &&
                std::ranges::any_of(master_cf_.services, [](const auto& other) { return other.command == "postscreen"; }))
                put(survey_.notes, Kind::service, place, subject, std::string(idle->follows));
            if (follows.empty())
                continue;
            find(Kind::service, place, subject, std::move(follows));
            survey_.findings.back().line = service.line;
            survey_.findings.back().in_master_cf = true;
        }
    }

    /// What is there beside a Postfix, and has to do more beside us.
    void needs()
    {
        const auto* written = survey_.snapshot.definition("smtp_dns_support_level");
        const auto level = written != nullptr ? survey_.snapshot.expand(written->value) : Result<std::string>(std::string());
        if (level && iequals(*level, "dnssec"))
            put(survey_.notes, Kind::needs, written->place(), "smtp_dns_support_level",
                "is dnssec: answers are validated here, so the name server has to pass signatures on; where it never does, the log warns of it, and mail "
                "goes on without DANE, as beside a Postfix whose name server does not validate");
    }

    void files()
    {
        const auto judge = [&](const std::string& path) {
            struct stat about{};
            if (::stat(path.c_str(), &about) != 0)
                return false;
            if (about.st_uid != 0 && about.st_uid != ::geteuid())
                find(Kind::file, path, "", fmt::format("belongs to user {}: whoever may write it decides over mail", about.st_uid));
            else if ((about.st_mode & S_IWOTH) != 0)
                find(Kind::file, path, "", fmt::format("may be written by everybody (mode {:04o})", about.st_mode & 07777));
            else if ((about.st_mode & S_IWGRP) != 0 && about.st_gid != 0)
                find(Kind::file, path, "", fmt::format("may be written by group {} (mode {:04o})", about.st_gid, about.st_mode & 07777));
            return true;
        };
        for (const char* name : {"", "/main.cf", "/master.cf"})
            judge(survey_.directory + name);
        // The paths come from written values; those of defaults that nobody set are not missed.
        supervisor::FileAccess named;
        std::set<std::string> sockets;
        const auto take = [&](std::string_view parameter, const config::Snapshot& own, std::string_view value) {
            if (names_no_table(parameter) || parameter == "import_environment")
                return;
            if (const auto expanded = own.expand(value)) {
                named.grant_value(parameter, *expanded);
                for (const std::string_view piece : split(*expanded, ", \t\r\n{}"))
                    if (piece.starts_with("unix:/"))
                        sockets.emplace(piece.substr(5));
            }
        };
        for (const auto& [name, definition] : survey_.snapshot.written())
            take(name, survey_.snapshot, definition->value);
        for (const config::ServiceLine& service : master_cf_.services) {
            const config::Snapshot own = survey_.snapshot.for_service(service.name, service.command, service.overrides, master_cf_.path);
            for (const config::Assignment& assignment : service.overrides)
                take(assignment.name, own, assignment.value);
        }
        for (const std::string& path : named.paths()) {
            struct stat about{};
            if (sockets.contains(path) || (::stat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode)))
                continue;  // a socket, a folder: no file to open
            judge(path);
            const bool of_table = std::ranges::any_of(survey_.tables, [&](const TableState& table) {
                return table.spec.find(":" + path) != table.spec.npos ||
                       (path.ends_with("db") && table.spec.ends_with(path.substr(0, path.rfind('.'))));
            });
            if (!of_table) {
                if (const auto opened = supervisor::open_for_service(path); !opened)
                    find(Kind::file, path, "", opened.error().what());
            } else if (::access(path.c_str(), F_OK) == 0 && ::access(path.c_str(), R_OK) != 0) {
                find(Kind::file, path, "", "cannot be read by who asks");
            }
        }
        secrets();
    }

    /// Passwords and keys that everybody may read.
    void secrets()
    {
        const auto judge = [&](std::string_view parameter, const std::string& path) {
            struct stat about{};
            if (::stat(path.c_str(), &about) == 0 && (about.st_mode & S_IROTH) != 0)
                find(Kind::file, path, std::string(parameter),
                     fmt::format("is secret, and everybody may read it (mode {:04o})", about.st_mode & 07777));
        };
        for (const auto& [name, definition] : survey_.snapshot.written()) {
            const bool chain = name.ends_with("_chain_files"), key = chain || name.ends_with("_key_file"),
                       passwords = name.ends_with("_password_maps");
            const auto value = survey_.snapshot.expand(definition->value);
            if (!value || (!key && !passwords))
                continue;
            supervisor::FileAccess named;
            named.grant_value(name, *value);
            for (const std::string& path : named.paths())
                if (!chain || !has_certificates_alone(path))
                    judge(name, path);
        }
    }
    /// A chain may have its key in one file and what everybody is shown in others.
    static bool has_certificates_alone(const std::string& path)
    {
        std::ifstream file(path);
        const std::string text(std::istreambuf_iterator<char>(file), {});
        return text.find("BEGIN CERTIFICATE") != text.npos && text.find("PRIVATE KEY") == text.npos;
    }

    /// Defaults that depend on the level or on the version, where nobody has set the parameter.
    void defaults()
    {
        static constexpr std::string_view newest = "3.11";
        const config::Snapshot& snapshot = survey_.snapshot;
        const std::array levels{config::Assignment{"compatibility_level", std::string(newest), 0}};
        const config::Snapshot at_newest = snapshot.with(levels, "newest");
        for (const config::KnownParameter& parameter : config::known_parameters()) {
            if (snapshot.definition(parameter.name) || parameter.initial == "(site)")
                continue;
            try {
                if (parameter.initial.find("$compatibility_level") != parameter.initial.npos) {
                    const std::string now = snapshot.text(parameter.name), then = at_newest.text(parameter.name);
                    if (now != then)
                        put(survey_.notes, Kind::level, "", std::string(parameter.name),
                            fmt::format("is \"{}\" at compatibility_level {}, as with Postfix; \"{}\" at {}", now,
                                        snapshot.text("compatibility_level"), then, newest));
                } else if (matters(parameter)) {
                    put(survey_.notes, Kind::version, "", std::string(parameter.name),
                        fmt::format("is \"{}\" here, as in Postfix 3.11; Postfix 3.7 has \"{}\"", parameter.initial, parameter.debian));
                }
            } catch (const config::BadValue&) {
                continue;  // said among the errors of the start
            }
        }
    }

    /// A default of another version that changes what is done: not the ciphers' names and the lists of what proxymap may read.
    static bool matters(const config::KnownParameter& parameter)
    {
        return !parameter.debian.empty() && parameter.debian != "-" && !parameter.name.ends_with("_cipherlist") &&
               !parameter.name.ends_with("_curves") && !parameter.name.starts_with("tlsproxy_") && !parameter.name.starts_with("proxy_") &&
               parameter.name != "import_environment" && !parameter.name.ends_with("_cache_map") && parameter.name != "address_verify_map" &&
               parameter.name != "mail_version";
    }

    std::map<std::string, std::vector<std::string>> pipes_;         // arguments, by key
    Survey& survey_;
    const config::MasterCf& master_cf_;
};

}  // namespace

std::string_view to_text(Finding::Kind kind)
{
    switch (kind) {
    case Kind::start: return "start";
    case Kind::parameter: return "parameter";
    case Kind::service: return "service";
    case Kind::table: return "table";
    case Kind::file: return "file";
    case Kind::needs: return "needs";
    case Kind::level: return "level";
    case Kind::version: return "version";
    }
    return "";
}

Result<Survey> survey(const std::string& directory, bool copied)
{
    TRY(auto snapshot, config::load(directory, "migrate", catalogue::all_parameters()));
    if (const auto* written = snapshot.definition("config_directory"); written && copied) {
        const std::array here{config::Assignment{"config_directory", directory, written->line}};
        snapshot = snapshot.with(here, directory + "/main.cf");
    }
    TRY(const auto master_cf, config::read_master_cf(directory + "/master.cf"));
    Survey result{.directory = directory, .snapshot = std::move(snapshot), .findings = {}, .notes = {}, .tables = {}};
    Surveyor(result, master_cf).look();
    return result;
}

}  // namespace posthorn::migrate
