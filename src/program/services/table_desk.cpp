#include "services/table_desk.hpp"

#include "base/strings.hpp"
#include "config/list.hpp"
#include "handoff/frames.hpp"
#include "tables/source_config.hpp"
#include "tls/tls.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

namespace posthorn::services {

namespace {

constexpr std::array<std::string_view, 4> kinds{"ldap", "mysql", "pgsql", "sqlite"};
constexpr std::array<std::string_view, 4> asked_over_sockets{"memcache", "redis", "socketmap", "tcp"};

bool one_of(std::span<const std::string_view> names, std::string_view spec)
{
    return std::ranges::any_of(names, [&](std::string_view kind) { return spec.starts_with(kind) && spec.substr(kind.size()).starts_with(':'); });
}

class RemoteTable final : public tables::Table {
public:
    RemoteTable(std::string spec, tables::Flags flags, ipc::Client& resolve) : Table(std::move(spec)), flags_(flags), resolve_(resolve) {}
    bool in_memory() const override { return false; }
    tables::Answer find(std::string_view) override { return Error{fmt::format("{}: only an answer that is waited for", name()), "4.3.5"}; }
    awaitable<tables::Answer> lookup(std::string key) override
    {
        handoff::TableRequest request;
        request.set_spec(name());
        request.set_key(std::move(key));
        request.set_fold(flags_.fold);
        request.set_utf8(flags_.utf8);
        auto reply = co_await resolve_.call_again<handoff::TableReply>(handoff::Frame::table, std::move(request));
        if (!reply)
            co_return Error{reply.error().what(), "4.3.0"};
        co_return reply->found() ? std::optional{reply->value()} : std::nullopt;
    }

private:
    tables::Flags flags_;
    ipc::Client& resolve_;
};

/// Files that the URIs among `servers` name: "postgresql://host/db?sslrootcert=/etc/ssl/ca.pem&sslmode=verify-full".
std::vector<std::string> files_of_uris(const std::vector<std::string>& servers)
{
    std::vector<std::string> files;
    for (const std::string& server : servers) {
        if (server.find("://") == server.npos || server.find('?') == server.npos)
            continue;
        for (const std::string_view parameter : split(std::string_view(server).substr(server.find('?') + 1), "&"))
            for (const std::string_view name : {"sslrootcert=", "sslcert=", "sslkey=", "sslcrl=", "passfile="})
                if (parameter.starts_with(name))
                    files.emplace_back(parameter.substr(name.size()));
    }
    return files;
}

/// TLS without authorities of its own: what ldap.conf and OpenSSL have as theirs lies where the system keeps them.
bool by_system_authorities(std::string_view spec, const tables::SourceConfig& config)
{
    if (spec.starts_with("ldap:"))
        return config.text("tls_ca_cert_file").empty() && config.text("tls_ca_cert_dir").empty() &&
               (iequals(config.text("start_tls"), "yes") || config.text("server_host").find("ldaps:") != std::string::npos);
    return spec.starts_with("mysql:") && iequals(config.text("tls_verify_cert"), "yes") && config.text("tls_CAfile").empty() &&
           config.text("tls_CApath").empty();
}

/// Every "kind:name" in the parameters, those within other tables and behind "proxy:" among them.
std::set<std::string, std::less<>> tables_of(const config::Snapshot& snapshot)
{
    std::set<std::string, std::less<>> specs;
    for (const auto& [name, definition] : snapshot.written()) {
        const auto value = snapshot.expand(definition->value);
        if (!value)
            continue;
        for (const std::string_view piece : config::split_grouped(*value))
            for (std::string& spec : tables::leaves_of(piece.substr(std::min(piece.find_first_not_of('!'), piece.size()))))
                specs.insert(std::move(spec));
    }
    return specs;
}

}  // namespace

/// Of "kind:name" whose parameters stand in main.cf, and of limits.
std::function<std::optional<std::string>(const std::string& name)> parameters_of(const config::Snapshot& snapshot)
{
    return [snapshot](const std::string& name) -> std::optional<std::string> {
        return snapshot.as_written(name) ? std::optional{snapshot.text(name)} : std::nullopt;
    };
}

RemoteDatabases::RemoteDatabases(tables::Tables& tables, ipc::Client& resolve, const config::Snapshot& snapshot)
{
    tables.set_parameters(parameters_of(snapshot));
    for (const std::string_view kind : kinds)
        tables.add_kind(std::string(kind), [&resolve](std::string spec, std::string, tables::Flags flags, tables::Tables&) {
            return std::make_shared<RemoteTable>(std::move(spec), flags, resolve);
        });
}

TableDesk::TableDesk(tables::Tables& tables, const config::Snapshot& snapshot) : tables_(tables) { reload(snapshot); }

TableDesk::Needs TableDesk::needs_of(const config::Snapshot& snapshot) const
{
    Needs needs;
    const auto named = tables_of(snapshot);
    std::vector<std::string> specs(named.begin(), named.end());
    for (std::size_t at = 0; at < specs.size(); ++at) {
        const std::string spec = specs[at];
        // What is behind a memcache is named in its file alone.
        if (spec.starts_with("memcache:"))
            if (const auto config = tables::SourceConfig::read(spec.substr(spec.find(':') + 1), tables_.site()); config && config->has("backup"))
                for (std::string& leaf : tables::leaves_of(config->text("backup")))
                    if (one_of(kinds, leaf))
                        specs.push_back(std::move(leaf));
        needs.network |= one_of(asked_over_sockets, spec) || one_of(kinds, spec);
        if (!one_of(kinds, spec))
            continue;
        needs.databases.insert(spec);
        const auto config = tables::SourceConfig::read(spec.substr(spec.find(':') + 1), tables_.site());
        if (!config)
            continue;
        const auto add = [&](std::string path) {
            if (path.starts_with('/'))
                needs.paths.insert(std::move(path));
        };
        if (const std::string database = config->text("dbpath"); spec.starts_with("sqlite:") && database.starts_with('/'))
            add(database.substr(0, std::max<std::size_t>(database.rfind('/'), 1)));      // with its journal
        for (const char* const name : {"option_file", "tls_key_file", "tls_cert_file", "tls_CAfile", "tls_CApath", "tls_ca_cert_file",
                                       "tls_ca_cert_dir", "tls_cert", "tls_key"})
            add(config->text(name));
        if (spec.starts_with("pgsql:"))
            for (std::string& file : files_of_uris(config->words("hosts")))
                add(std::move(file));
        if (by_system_authorities(spec, *config))
            std::ranges::for_each(tls::default_authorities(), add);
        if (spec.starts_with("mysql:") && config->text("option_file").empty())
            for (const char* const usual : {"/etc/my.cnf", "/etc/my.cnf.d", "/etc/mysql"})
                add(usual);
    }
    return needs;
}

bool TableDesk::can_take(const config::Snapshot& snapshot) const
{
    // The client library of a kind is opened with its first table.
    const Needs needs = needs_of(snapshot);
    const auto known = [&](const std::string& path) { return std::ranges::find(paths_, path) != paths_.end(); };
    return (asks_network_ || !needs.network) && std::ranges::includes(specs_, needs.databases) && std::ranges::all_of(needs.paths, known);
}

void TableDesk::reload(const config::Snapshot& snapshot)
{
    tables_.set_parameters(parameters_of(snapshot));
    Needs needs = needs_of(snapshot);
    former_ = std::exchange(specs_, std::move(needs.databases));
    for (const std::string& spec : specs_)
        tables_.open(spec);
    for (const std::string& path : needs.paths)
        if (std::ranges::find(paths_, path) == paths_.end())
            paths_.push_back(path);
    asks_network_ |= needs.network;
}

awaitable<Result<handoff::TableReply>> TableDesk::answer(handoff::TableRequest request)
{
    if (!specs_.contains(request.spec()) && !former_.contains(request.spec()))
        co_return Error{fmt::format("{}: no parameter names this table", request.spec()), "4.3.5"};
    tables::Flags flags;
    flags.fold = request.fold();
    flags.utf8 = request.utf8();
    const auto table = tables_.open(request.spec(), flags);
    CO_TRY(auto value, co_await table->lookup(request.key()));
    handoff::TableReply reply;
    reply.set_found(value.has_value());
    if (value)
        reply.set_value(*std::move(value));
    co_return reply;
}

}  // namespace posthorn::services
