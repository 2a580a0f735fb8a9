#include "services/table_files.hpp"

#include "base/strings.hpp"
#include "config/known.hpp"
#include "config/list.hpp"
#include "config/main_cf.hpp"
#include "tables/table.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

namespace posthorn::services {

namespace {

/// Files that a value, or a line of a list file, names: "type:/file", and "/file", which in a list may name more.
struct Named {
    void add(std::string_view value, bool lists_too = true)
    {
        for (const std::string_view piece : config::split_grouped(value)) {
            const std::string_view member = piece.substr(std::min(piece.find_first_not_of('!'), piece.size()));
            for (std::string& file : tables::files_of(member))
                table_files.insert(std::move(file));
            for (const std::string& leaf : tables::leaves_of(member))
                if (const std::size_t colon = leaf.find(":/"); colon != leaf.npos && config::is_source_type(leaf.substr(0, colon)))
                    sources.insert(leaf.substr(colon + 1));
            if (may_ask)
                tables::open_libraries(member);                      // a confined service can open none later
            if (lists_too && member.starts_with('/'))
                lists.emplace(member);
        }
    }
    /// Of tables whose values are names of files: as text, they are read here, and a list of such lines names them too.
    void add_value_files(std::string_view value)
    {
        for (const std::string_view piece : split(value, ", \t\r\n{}()=")) {
            if (piece.starts_with('/'))
                lists.emplace(piece);
            if (const auto at = piece.rfind("texthash:/"); at != piece.npos)
                lists.emplace(piece.substr(at + std::string_view("texthash:").size()));
        }
    }
    void add(const Named& inner)
    {
        table_files.insert(inner.table_files.begin(), inner.table_files.end());
        lists.insert(inner.lists.begin(), inner.lists.end());
        sources.insert(inner.sources.begin(), inner.sources.end());
    }
    void remove(const Named& inner)
    {
        for (const std::string& file : inner.table_files)
            table_files.erase(file);
        for (const std::string& list : inner.lists)
            lists.erase(list);
    }
    std::set<std::string> table_files, lists, sources;               // sources: files of a table's parameters, among the table files
    bool may_ask = true;  // the tables themselves; else only the names of their files matter
};

constexpr std::size_t list_octets = 1 << 20;
constexpr std::string_view chains_by_name = "tls_server_sni_maps", keys_of_signatures = "dkim_key_maps";
constexpr bool holds_keys(std::string_view name) { return name == chains_by_name || name == keys_of_signatures; }

/// A text that is no list names nothing, or what the broker does not give.
Named named_in(int fd, bool source)
{
    struct stat facts{};
    Named named;
    if (::fstat(fd, &facts) != 0 || static_cast<std::uint64_t>(facts.st_size) > list_octets)
        return named;
    std::string text(static_cast<std::size_t>(facts.st_size), '\0');
    const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (text.find("-----BEGIN ") != text.npos)                   // a key or certificate, in which one line of 64 begins like a path
        return named;
    if (source) {
        for (const std::string& value : config::named_in_source(text))
            named.add(value);
        return named;
    }
    for (const std::string_view line : split(text, "\n"))
        if (const std::string_view said = trim(line); !said.starts_with('#'))
            named.add(said);
    return named;
}

Named named_by(const process::Service& service, std::span<const std::string_view> parameters)
{
    Named named, passwords, own;
    passwords.may_ask = false;
    // Passwords are for who asks for them by name: what reads the network has none, whatever parameter of the administrator's own they stand in
    // first. Keys are for who shows certificates, and for who signs.
    const auto holds_passwords = [&](std::string_view name) {
        return name.ends_with("_sasl_password_maps") || name == "admin_token_file" || name == "inject_token_file" ||
               (name == chains_by_name && service.program() != "smtpd") || (name == keys_of_signatures && service.program() != "resolve");
    };
    const auto wanted = [&](std::string_view name) {
        return parameters.empty() ? !holds_passwords(name) : std::ranges::find(parameters, name) != parameters.end();
    };
    for (const config::Snapshot& snapshot : service.all_configs())
        for (const auto& [name, definition] : snapshot.written()) {
            const bool secret = parameters.empty() && holds_passwords(name);
            if (!secret && !wanted(name))
                continue;
            const auto value = snapshot.expand(definition->value);
            if (value && ((name == "local_login_sender_maps" && *value != "static:*") || (name == "account_limit_maps" && !value->empty())))
                named.table_files.emplace("/etc/passwd");
            if (value && holds_keys(name) && !secret)
                named.add_value_files(*value);
            if (value)
                (secret ? passwords : config::known(name) == nullptr ? own : named).add(*value);
        }
    own.remove(passwords);
    named.add(own);
    // Defaults name tables too: local_recipient_maps those of users and of aliases.
    for (const config::KnownParameter& parameter : config::known_parameters()) {
        if (parameter.initial.find(':') == std::string_view::npos || service.config().definition(parameter.name) || !wanted(parameter.name))
            continue;
        if (const auto value = service.config().expand(parameter.initial))          // text() would count as a question for it (config/reading.hpp)
            named.add(*value, false);
    }
    return named;
}

/// Asks for the files, and then for what the lists among them name, until nothing new is named.
awaitable<std::map<std::string, Fd, std::less<>>> ask_broker(process::Service& service, Named named, std::set<std::string>& asked)
{
    std::map<std::string, Fd, std::less<>> files;
    while (!named.table_files.empty() || !named.lists.empty()) {
        Named more;
        for (const std::set<std::string>* paths : {&named.lists, &named.table_files})          // what is both is read as a list
            for (const std::string& path : *paths) {
                if (!asked.insert(path).second)
                    continue;
                auto file = co_await service.open_file(path);
                if (!file)
                    continue;
                const bool source = named.sources.contains(path);
                if (paths == &named.lists || source)
                    more.add(named_in(file->get(), source));
                files.emplace(path, *std::move(file));
            }
        named = std::move(more);
    }
    co_return files;
}

Result<tables::FileStamp> stamp_of(int fd, const std::string& path)
{
    struct stat facts{};
    if (::fstat(fd, &facts) != 0)
        return system_error("stat " + path, errno);
    return tables::FileStamp{.device = facts.st_dev,
                             .inode = facts.st_ino,
                             .octets = static_cast<std::uint64_t>(facts.st_size),
                             .modified =
                                 WallTime{std::chrono::seconds{facts.st_mtim.tv_sec} + std::chrono::microseconds{facts.st_mtim.tv_nsec / 1000}}};
}

}  // namespace

std::shared_ptr<TableFiles> TableFiles::fetch(process::Service& service, std::span<const std::string_view> parameters)
{
    auto made = std::make_shared<TableFiles>();
    made->parameters_.assign(parameters.begin(), parameters.end());
    made->files_ = service.wait(ask_broker(service, named_by(service, parameters), made->asked_));
    service.on_file_changed([made](const std::string& path, Fd file) { made->changed(path, std::move(file)); });
    return made;
}

bool TableFiles::lacks_any(const process::Service& service) const
{
    Named named = named_by(service, parameters_);
    std::set<std::string> read;
    const auto unknown = [&](const std::string& path) { return !asked_.contains(path); };
    while (!named.table_files.empty() || !named.lists.empty()) {
        if (std::ranges::any_of(named.table_files, unknown) || std::ranges::any_of(named.lists, unknown))
            return true;
        Named more;                                              // a list may say more than when its files were asked for
        for (const std::set<std::string>* paths : {&named.lists, &named.sources})
            for (const std::string& path : *paths)
                if (const auto file = files_.find(path); file != files_.end() && read.insert(path).second)
                    more.add(named_in(file->second.get(), paths == &named.sources));
        named = std::move(more);
    }
    return false;
}

void TableFiles::changed(const std::string& path, Fd file)
{
    if (file)
        files_[path] = std::move(file);
    else
        files_.erase(path);
    if (hear_)
        hear_(path);
}

Result<Fd> TableFiles::open(const std::string& path)
{
    if (const auto found = files_.find(path); found != files_.end()) {
        // A copy shares the offset; every reader starts at the beginning.
        Fd copy(::dup(found->second.get()));
        if (!copy || ::lseek(copy.get(), 0, SEEK_SET) < 0)
            return system_error("open " + path, errno);
        return copy;
    }
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return system_error("open " + path, errno);
    return file;
}

Result<tables::FileStamp> TableFiles::stamp(const std::string& path)
{
    if (const auto found = files_.find(path); found != files_.end())
        return stamp_of(found->second.get(), path);
    TRY(const Fd file, open(path));
    return stamp_of(file.get(), path);
}

}  // namespace posthorn::services
