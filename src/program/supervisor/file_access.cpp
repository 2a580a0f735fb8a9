#include "supervisor/file_access.hpp"

#include "base/strings.hpp"
#include "config/known.hpp"
#include "config/main_cf.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace posthorn::supervisor {

namespace {

/// Parameters whose values are folders, programs, or texts that look like paths.
bool grants_nothing(std::string_view parameter)
{
    for (const std::string_view end : {"_directory", "_directories", "_command", "_path", "_program", "_transport", "_CApath", "_environment"})
        if (parameter.ends_with(end))
            return true;
    return parameter == "maillog_file" || parameter == "maillog_file_prefixes" || parameter == "record_file" || parameter == "mail_spool_directory";
}

/// Files that are keys and the like: never read here.
bool is_no_list(std::string_view parameter)
{
    for (const std::string_view end : {"_file", "_files", "_CAfile"})
        if (parameter.ends_with(end))
            return true;
    return false;
}

constexpr off_t list_octets = 1 << 20;
constexpr int list_depth = 10;                  // as tables::MatchList has it

bool plain(std::string_view path)
{
    return path.size() > 1 && path.size() < 4096 && path.front() == '/' && path.find("/../") == path.npos && !path.ends_with("/..");
}

}  // namespace

void FileAccess::grant_value(std::string_view parameter, std::string_view value)
{
    if (grants_nothing(parameter))
        return;
    if ((parameter == "local_login_sender_maps" && value != "static:*") || (parameter == "account_limit_maps" && !value.empty()))
        paths_.emplace("/etc/passwd");                               // who is asked about
    // Braces only group; whatever stands in them is judged piece by piece ("pipemap:{hash:/a, cidr:/b}").
    for (std::string_view piece : split(value, ", \t\r\n{}()=")) {
        while (piece.starts_with('!'))
            piece.remove_prefix(1);
        if (plain(piece)) {
            paths_.emplace(piece);
            if (!is_no_list(parameter))
                lists_.emplace(piece);
            continue;
        }
        for (const auto& [table, file] : {std::pair{"unix:passwd.byname", "/etc/passwd"}, std::pair{"unix:group.byname", "/etc/group"}})
            if (piece.ends_with(table))
                paths_.insert({file, "/etc/nsswitch.conf"});
        // "proxy:hash:/etc/x": the path is behind the last type.
        const std::size_t at = piece.find(":/");
        if (at == piece.npos)
            continue;
        const std::string_view types = piece.substr(0, at), path = piece.substr(at + 1);
        if (!plain(path) || path.starts_with("//"))                   // "tcp://" and the like are no files
            continue;
        const std::string_view type = types.substr(types.rfind(':') + 1);
        paths_.emplace(path);
        if ((parameter == "tls_server_sni_maps" || parameter == "dkim_key_maps") && type == "texthash")    // its values are names of files
            lists_.emplace(path);
        if (config::is_source_type(type)) {
            lists_.emplace(path);
            sources_.emplace(path);
        }
        static constexpr std::array<std::pair<std::string_view, std::string_view>, 6> suffixes{
            {{"hash", ".db"}, {"btree", ".db"}, {"lmdb", ".lmdb"}, {"cdb", ".cdb"}, {"dbm", ".dir"}, {"sdbm", ".dir"}}};
        for (const auto& [name, suffix] : suffixes)
            if (type == name)
                paths_.emplace(std::string(path) + std::string(suffix));
    }
}

namespace {

/// The lines of a list file; nothing where it is none, or where somebody else may write it.
std::string text_of_list(const std::string& path)
{
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat about{};
    if (!file || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode) || about.st_size > list_octets)
        return {};
    if ((about.st_uid != 0 && about.st_uid != ::geteuid()) || (about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return {};
    std::string text(static_cast<std::size_t>(about.st_size), '\0');
    std::size_t have = 0;
    while (have < text.size()) {
        const ssize_t got = ::read(file.get(), text.data() + have, text.size() - have);
        if (got <= 0)
            break;
        have += static_cast<std::size_t>(got);
    }
    text.resize(have);
    if (text.find("-----BEGIN ") != text.npos)                       // a key or certificate, in which a line may begin like a path
        return {};
    return text;
}

}  // namespace

void FileAccess::follow_lists()
{
    std::set<std::string> read;
    for (int depth = 0; depth < list_depth; ++depth) {
        const std::set<std::string> now = lists_;
        for (const std::string& path : now) {
            if (!read.insert(path).second)
                continue;
            const std::string text = text_of_list(path);
            if (sources_.contains(path)) {
                for (const std::string& value : config::named_in_source(text))
                    grant_value("", value);
                continue;
            }
            for (const std::string_view line : split(text, "\n"))
                if (const std::string_view said = trim(line); !said.starts_with('#'))
                    grant_value("", said);
        }
        if (lists_.size() == now.size())
            return;
    }
}

FileAccess FileAccess::from(const config::Snapshot& snapshot, std::span<const config::ServiceLine> services)
{
    FileAccess access;
    for (const auto& [name, definition] : snapshot.written())
        if (auto value = snapshot.expand(definition->value))
            access.grant_value(name, *value);
    for (const config::KnownParameter& parameter : config::known_parameters()) {
        if (snapshot.definition(parameter.name) || grants_nothing(parameter.name))
            continue;
        try {
            access.grant_value(parameter.name, snapshot.text(parameter.name));
        } catch (const config::BadValue&) {
            // A default that refers to something malformed: the check has said so already.
        }
    }
    for (const config::ServiceLine& service : services) {
        const config::Snapshot own = snapshot.for_service(service.name, service.command, service.overrides, "master.cf");
        for (const config::Assignment& assignment : service.overrides)
            if (auto value = own.expand(assignment.value))
                access.grant_value(assignment.name, *value);
    }
    access.follow_lists();
    return access;
}

bool FileIdentity::operator==(const FileIdentity& other) const
{
    const auto same = [](const timespec& a, const timespec& b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; };
    return there == other.there && device == other.device && inode == other.inode && size == other.size && same(modified, other.modified) &&
           same(changed, other.changed);
}

namespace {
FileIdentity identity_of(const struct stat& about) { return {about.st_dev, about.st_ino, about.st_size, about.st_mtim, about.st_ctim, true}; }
}  // namespace

FileIdentity identity_of(const std::string& path)
{
    struct stat about{};
    return ::stat(path.c_str(), &about) == 0 ? identity_of(about) : FileIdentity{};
}

Result<OpenedFile> open_for_service(const std::string& path)
{
    // Without O_NONBLOCK a pipe at that path would hold up the supervisor.
    Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file)
        return system_error("open " + path, errno);
    struct stat about{};
    if (::fstat(file.get(), &about) != 0)
        return system_error("open " + path, errno);
    if (!S_ISREG(about.st_mode))
        return Error{"open " + path + ": not a regular file"};
    return OpenedFile{std::move(file), identity_of(about)};
}

}  // namespace posthorn::supervisor
