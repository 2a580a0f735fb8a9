#include "supervisor/layout.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace posthorn::supervisor {

namespace {

enum class Owner { root, mail };
enum class Group { keep, drop };
struct Folder {
    std::string_view name;
    mode_t mode;
    Owner owner;
    Group group = Group::keep;
};
constexpr Folder folders[] = {
    {"spool", 0700, Owner::mail},
    {"spool/incoming", 0700, Owner::mail},
    {"incoming", 0700, Owner::mail},
    {"active", 0700, Owner::mail},
    {"deferred", 0700, Owner::mail},
    {"hold", 0700, Owner::mail},
    {"corrupt", 0700, Owner::mail},
    {"bounce", 0700, Owner::mail},
    {"defer", 0700, Owner::mail},
    {"trace", 0700, Owner::mail},
    {"flush", 0700, Owner::mail},
    {"saved", 0700, Owner::mail},
    {"private", 0700, Owner::mail},
    {"pid", 0755, Owner::root},
    {"public", 0710, Owner::mail, Group::drop},
    {"maildrop", 01730, Owner::mail, Group::drop},
};

/// Makes one folder; an existing one gets its owner and mode again. A link in its place is refused.
Result<void> make_folder(const std::string& path, mode_t mode, uid_t uid, gid_t gid)
{
    if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
        return system_error("mkdir " + path, errno);
    const int folder = ::open(path.c_str(), O_DIRECTORY | O_NOFOLLOW | O_RDONLY | O_CLOEXEC);
    if (folder < 0)
        return system_error("open directory " + path, errno);
    struct stat about{};
    int failed = ::fstat(folder, &about);
    if (failed == 0 && (about.st_uid != uid || about.st_gid != gid) && ::geteuid() == 0)
        failed = ::fchown(folder, uid, gid);
    if (failed == 0 && (about.st_mode & 07777) != mode && (::geteuid() == 0 || about.st_uid == ::geteuid()))
        failed = ::fchmod(folder, mode);
    const int error = errno;
    ::close(folder);
    if (failed != 0)
        return system_error("set owner and mode of " + path, error);
    return {};
}

}  // namespace

Result<Identity> identity(const config::Snapshot& snapshot)
{
    if (::geteuid() != 0)
        return Identity{::geteuid(), ::getegid(), ::getegid()};
    const std::string user = snapshot.text("mail_owner"), group = snapshot.text("setgid_group");
    const passwd* owner = ::getpwnam(user.c_str());
    if (!owner)
        return Error{fmt::format("mail_owner: unknown user: {}", user)};
    if (owner->pw_uid == 0)
        return Error{fmt::format("mail_owner: user {} has privileged user id 0", user)};
    if (owner->pw_gid == 0)
        return Error{fmt::format("mail_owner: user {} has privileged group id 0", user)};
    Identity result{owner->pw_uid, owner->pw_gid, 0};
    const ::group* drop = ::getgrnam(group.c_str());
    if (!drop)
        return Error{fmt::format("setgid_group: unknown group: {}", group)};
    if (drop->gr_gid == result.gid)
        return Error{fmt::format("setgid_group: group {} is the group of mail_owner {}: they must differ", group, user)};
    result.drop_gid = drop->gr_gid;
    return result;
}

Layout Layout::from(const config::Snapshot& snapshot) { return {snapshot.text("queue_directory"), snapshot.text("data_directory")}; }

Result<void> Layout::make(const Identity& owner) const
{
    const bool root = ::geteuid() == 0;
    const uid_t top_uid = root ? 0 : owner.uid;
    const gid_t top_gid = root ? 0 : owner.gid;
    TRY_VOID(make_folder(queue_directory, 0755, top_uid, top_gid));
    for (const Folder& folder : folders) {
        const uid_t uid = folder.owner == Owner::mail ? owner.uid : top_uid;
        const gid_t gid = folder.group == Group::drop ? owner.drop_gid : folder.owner == Owner::mail ? owner.gid : top_gid;
        TRY_VOID(make_folder(fmt::format("{}/{}", queue_directory, folder.name), folder.mode, uid, gid));
    }
    return make_folder(data_directory, 0700, owner.uid, owner.gid);
}

}  // namespace posthorn::supervisor
