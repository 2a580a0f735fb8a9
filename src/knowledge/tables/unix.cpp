#include "tables/unix.hpp"

#include "tables/fixed.hpp"
#include "tables/reloading.hpp"

#include <fmt/format.h>

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::tables {

namespace {

/// What is known of the two.
struct Database {
    std::string_view name, file;                                 // "passwd.byname", "passwd": also the word in nsswitch.conf
    int colons;                                                  // of a line
    Answer (*library)(const std::string& key);
};

constexpr std::size_t largest_answer = 16 << 20;                 // a group has as many members as it likes

/// What getpwnam_r and getgrnam_r have in common: `ask` says 0, or why not, and sets the value.
template <class Ask>
Answer ask_library(std::string_view what, Ask ask)
{
    std::optional<std::string> value;
    int error = ERANGE;
    for (std::size_t octets = 16 * 1024; error == ERANGE && octets <= largest_answer; octets *= 4) {
        std::vector<char> buffer(octets);
        error = ask(buffer, value);
    }
    if (value || error == 0 || error == ESRCH)
        return value;
    // The manual counts ENOENT, EBADF and EPERM to "not found". Here they are a source out of reach: its daemon is down, or we may not ask it.
    return Error{system_error(std::string(what), error).what(), "4.3.0"};
}

Answer library_user(const std::string& key)
{
    return ask_library("passwd.byname", [&](std::vector<char>& buffer, std::optional<std::string>& value) {
        ::passwd entry{}, *found = nullptr;
        const int error = ::getpwnam_r(key.c_str(), &entry, buffer.data(), buffer.size(), &found);
        if (found != nullptr)
            value = fmt::format("{}:{}:{}:{}:{}:{}:{}", found->pw_name, found->pw_passwd, found->pw_uid, found->pw_gid, found->pw_gecos,
                                found->pw_dir, found->pw_shell);
        return error;
    });
}

Answer library_group(const std::string& key)
{
    return ask_library("group.byname", [&](std::vector<char>& buffer, std::optional<std::string>& value) {
        ::group entry{}, *found = nullptr;
        const int error = ::getgrnam_r(key.c_str(), &entry, buffer.data(), buffer.size(), &found);
        if (found != nullptr) {
            std::string members;
            for (char** member = found->gr_mem; *member != nullptr; ++member)
                members += (members.empty() ? "" : ",") + std::string(*member);
            value = fmt::format("{}:{}:{}:{}", found->gr_name, found->gr_passwd, found->gr_gid, members);
        }
        return error;
    });
}

constexpr std::array databases{Database{"passwd.byname", "passwd", 6, library_user}, Database{"group.byname", "group", 3, library_group}};

const Database* database_of(std::string_view name)
{
    const auto* const found = std::ranges::find(databases, name, &Database::name);
    return found == databases.end() ? nullptr : found;
}

/// Whole lines by name; the first of two counts. Those of NIS ("+") and what is no entry are left out.
Result<std::shared_ptr<const Entries>> parse_accounts(const std::string& text, int colons)
{
    auto entries = std::make_shared<Entries>();
    for (const std::string_view line : split(text, "\n")) {
        const std::size_t end = line.find(':');
        if (end == line.npos || end == 0 || std::string_view("#+- \t").find(line.front()) != std::string_view::npos ||
            std::ranges::count(line, ':') < colons)
            continue;
        entries->try_emplace(std::string(line.substr(0, end)), line);
    }
    return std::shared_ptr<const Entries>(std::move(entries));
}

/// "passwd: files sss": is there a source that has more users than the file? Those of systemd are no recipients of mail.
Result<std::shared_ptr<const bool>> parse_sources(const std::string& text, std::string_view database)
{
    bool more = false;
    for (const std::string_view line : split(text, "\n")) {
        const std::string_view said = trim(line.substr(0, line.find('#')));
        if (!said.starts_with(database) || !trim(said.substr(database.size())).starts_with(':'))
            continue;
        for (const std::string_view word : split(said.substr(said.find(':') + 1)))
            more =
                more || (word != "files" && word != "compat" && word != "systemd" && word != "mymachines" && word.find_first_of("[]=") == word.npos);
    }
    return std::make_shared<const bool>(more);
}

class AccountTable final : public Table {
public:
    AccountTable(const std::string& folder, std::string spec, const Database& database, Flags flags, const Site& site)
        : Table(std::move(spec)), database_(database), flags_(flags),
          entries_(site, fmt::format("{}/{}", folder, database.file),
                   [colons = database.colons](const std::string& text, Warnings&) { return parse_accounts(text, colons); }),
          sources_(site, folder + "/nsswitch.conf", [name = database.file](const std::string& text, Warnings&) { return parse_sources(text, name); })
    {
    }
    Answer find(std::string_view key) override
    {
        if (key.find('\0') != key.npos)
            return std::nullopt;
        TRY(const Entries* const entries, entries_.current());
        return find_folded(key, flags_, [&](std::string_view folded) -> Answer {
            if (const auto at = entries->find(folded); at != entries->end())
                return at->second;
            const auto more = sources_.current();
            if (!more && !more.error().what().ends_with(errno_text(ENOENT)))
                return more.error();
            // Without the file there is no further source, as for the C library.
            return more && **more ? database_.library(std::string(folded)) : Answer{std::nullopt};
        });
    }
    std::optional<Error> broken() override
    {
        const auto now = entries_.current();
        return now ? std::nullopt : std::optional{now.error()};
    }

private:
    const Database& database_;
    Flags flags_;
    Reloading<Entries> entries_;
    Reloading<bool> sources_;
};

}  // namespace

std::shared_ptr<Table> open_unix_of(const std::string& folder, std::string spec, const std::string& name, Flags flags, Tables& tables)
{
    const Database* const database = database_of(name);
    if (database == nullptr)
        return broken_table(spec, Error{fmt::format("unknown table: {}", spec)});
    return std::make_shared<AccountTable>(folder, std::move(spec), *database, flags, tables.site());
}

std::shared_ptr<Table> open_unix(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return open_unix_of("/etc", std::move(spec), name, flags, tables);
}

std::vector<std::string> unix_files(std::string_view name)
{
    const Database* const database = database_of(name);
    return database == nullptr ? std::vector<std::string>{} : std::vector{fmt::format("/etc/{}", database->file), std::string("/etc/nsswitch.conf")};
}

}  // namespace posthorn::tables
