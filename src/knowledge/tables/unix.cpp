// unix:passwd.byname, unix:group.byname: does this user exist? The C library blocks here; local files answer in microseconds.
#include "tables/unix.hpp"

#include <fmt/format.h>

#include <grp.h>
#include <pwd.h>

#include <array>
#include <cerrno>

namespace posthorn::tables {

namespace {

class PasswdTable final : public Table {
public:
    using Table::Table;
    Answer find(std::string_view key) override
    {
        ::passwd entry{};
        ::passwd* found = nullptr;
        std::array<char, 16384> buffer{};
        const int error = ::getpwnam_r(std::string(key).c_str(), &entry, buffer.data(), buffer.size(), &found);
        if (found != nullptr)
            return fmt::format("{}:{}:{}:{}:{}:{}:{}", found->pw_name, found->pw_passwd, found->pw_uid, found->pw_gid, found->pw_gecos, found->pw_dir,
                               found->pw_shell);
        if (error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM)
            return std::nullopt;                                 // getpwnam(3): all of these mean "no such user"
        return Error{system_error("passwd.byname", error).what(), "4.3.0"};
    }
};

class GroupTable final : public Table {
public:
    using Table::Table;
    Answer find(std::string_view key) override
    {
        ::group entry{};
        ::group* found = nullptr;
        std::vector<char> buffer(65536);
        const int error = ::getgrnam_r(std::string(key).c_str(), &entry, buffer.data(), buffer.size(), &found);
        if (found != nullptr) {
            std::string members;
            for (char** member = found->gr_mem; *member != nullptr; ++member)
                members += (members.empty() ? "" : ",") + std::string(*member);
            return fmt::format("{}:{}:{}:{}", found->gr_name, found->gr_passwd, found->gr_gid, members);
        }
        if (error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM)
            return std::nullopt;
        return Error{system_error("group.byname", error).what(), "4.3.0"};
    }
};

}  // namespace

std::shared_ptr<Table> open_unix(std::string spec, std::string name, Flags, Tables&)
{
    if (name == "passwd.byname")
        return std::make_shared<PasswdTable>(std::move(spec));
    if (name == "group.byname")
        return std::make_shared<GroupTable>(std::move(spec));
    return broken_table(spec, Error{fmt::format("unknown table: {}", spec)});
}

}  // namespace posthorn::tables
