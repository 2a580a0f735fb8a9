// Landlock, by its system calls: Debian 12 has the header of an older kernel and no library for it.
#include "base/fd.hpp"
#include "process/confine.hpp"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace posthorn::process {

namespace {

// What newer kernels added; the numbers are the kernel's interface and do not change.
constexpr std::uint64_t fs_refer = 1ull << 13, fs_truncate = 1ull << 14, fs_ioctl_dev = 1ull << 15;
constexpr std::uint64_t net_bind_tcp = 1ull << 0, net_connect_tcp = 1ull << 1;
constexpr std::uint64_t scope_abstract_unix = 1ull << 0, scope_signal = 1ull << 1;
struct Ruleset {
    std::uint64_t fs = 0, net = 0, scoped = 0;
};

constexpr std::uint64_t read_file = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr std::uint64_t read_tree = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr std::uint64_t write_file = LANDLOCK_ACCESS_FS_WRITE_FILE | fs_truncate;
constexpr std::uint64_t write_tree = write_file | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE | fs_refer;
constexpr std::uint64_t whole_tree = read_tree | write_tree | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR;

class Rules {
public:
    Rules(int version, Powers may)
    {
        handled_.fs = (1ull << 13) - 1;                                 // everything of version 1
        if (version >= 2)
            handled_.fs |= fs_refer;
        if (version >= 3)
            handled_.fs |= fs_truncate;
        std::size_t size = sizeof handled_.fs;
        if (version >= 4) {
            size = offsetof(Ruleset, scoped);
            if (!may.has(May::listen))
                handled_.net |= net_bind_tcp;
            if (!may.has(May::connect) && !may.has(May::resolve))
                handled_.net |= net_connect_tcp;
        }
        if (version >= 5)
            handled_.fs |= fs_ioctl_dev;
        if (version >= 6) {
            size = sizeof handled_;
            handled_.scoped = scope_signal | scope_abstract_unix;
        }
        // smtp_bind_address binds before it connects.
        if (may.has(May::connect))
            handled_.net &= ~net_bind_tcp;
        rules_ = Fd(static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled_, size, 0)));
        if (!rules_)
            throw std::system_error(errno, std::generic_category(), "make a Landlock ruleset");
    }

    /// A path that does not exist yet is simply not allowed: who needs it makes it before.
    void allow(const std::string& path, std::uint64_t access)
    {
        const Fd parent(::open(path.c_str(), O_PATH | O_CLOEXEC));
        if (!parent)
            return;
        struct stat found{};
        if (::fstat(parent.get(), &found) == 0 && !S_ISDIR(found.st_mode))
            access &= read_file | write_file;
        landlock_path_beneath_attr rule{};
        rule.allowed_access = access & handled_.fs;
        rule.parent_fd = parent.get();
        if (::syscall(SYS_landlock_add_rule, rules_.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
            throw std::system_error(errno, std::generic_category(), "add " + path + " to the Landlock ruleset");
    }

    void enforce()
    {
        if (::syscall(SYS_landlock_restrict_self, rules_.get(), 0) != 0)
            throw std::system_error(errno, std::generic_category(), "enforce the Landlock ruleset");
    }

private:
    Ruleset handled_;
    Fd rules_;
};

}  // namespace

int landlock_version()
{
    const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return version < 0 ? 0 : static_cast<int>(version);
}

void restrict_files(const Place& place, const Confinement& confinement)
{
    const Powers may = confinement.may;
    Rules rules(landlock_version(), may);
    const std::string queue = place.queue_directory == "/" ? "" : place.queue_directory;
    if (may.has(May::spool))
        rules.allow(place.queue_directory, whole_tree);
    if (may.has(May::read_message))
        rules.allow(queue + "/spool/incoming", read_tree);
    if (may.has(May::write_incoming))
        rules.allow(queue + "/spool/incoming", read_tree | write_tree);
    if (may.has(May::pick_up))
        rules.allow(queue + "/maildrop", read_tree | write_tree);
    if (!place.data_directory.empty()) {
        if (may.has(May::state))
            rules.allow(place.data_directory, whole_tree);
        if (may.has(May::read_state))
            rules.allow(place.data_directory, read_tree);
    }
    if (may.has(May::resolve))
        for (const char* path : {"/etc/resolv.conf", "/etc/hosts", "/etc/services", "/etc/localtime"})
            rules.allow(path, read_file);
    for (const std::string& path : confinement.readable)
        rules.allow(path, read_tree);
    rules.enforce();
}

}  // namespace posthorn::process
