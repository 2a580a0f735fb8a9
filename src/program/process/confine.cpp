#include "process/confine.hpp"

#include "base/error.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/capability.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <system_error>

#if __has_feature(address_sanitizer)
// LeakSanitizer looks at its process as a debugger would, which a confined one forbids: it would end with status 1. Leaks are the
// affair of the unit tests, which are not confined.
extern "C" int __lsan_is_turned_off();
extern "C" int __lsan_is_turned_off() { return 1; }
#endif

namespace posthorn::process {

namespace {

[[noreturn]] void refuse(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/// Landlock and capabilities are a thread's own: one that began before would go on without bounds, and whoever is in the process with it.
/// The runtime of ThreadSanitizer has one.
void must_have_one_thread()
{
#if __has_feature(thread_sanitizer)
    constexpr std::size_t allowed = 2;
#else
    constexpr std::size_t allowed = 1;
#endif
    std::size_t count = 0;
    std::string names;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
        ++count;
        std::string name;
        std::getline(std::ifstream(task.path() / "comm"), name);
        names += (names.empty() ? "" : ", ") + name;
    }
    if (count > allowed)
        throw std::runtime_error(fmt::format("confine: threads were started before: {}", names));
}

void drop_bounding_set()
{
    for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability)
        if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 && errno != EPERM)
            refuse("drop a capability from the bounding set");
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        refuse("clear ambient capabilities");
}

/// Of all but `kept`. A process of root's with another uid has none left; this also covers one that was given some by file or by systemd.
void drop_capabilities(std::uint32_t kept = 0)
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct left[2]{};
    left[0].effective = left[0].permitted = kept;
    if (::syscall(SYS_capset, &header, left) != 0)
        refuse("drop capabilities");
}

/// What it takes to start a program as another user, and to end it.
constexpr std::uint32_t for_commands = 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL;

void become(uid_t uid, gid_t gid, const std::vector<gid_t>& groups)
{
    if (uid == 0 || gid == 0) {
        errno = EINVAL;
        refuse("mail_owner must not be root");
    }
    if (std::ranges::find(groups, gid_t{0}) != groups.end() || ::setgroups(groups.size(), groups.data()) != 0)
        refuse("drop supplementary groups");
    if (::setresgid(gid, gid, gid) != 0)
        refuse("change group");
    if (::setresuid(uid, uid, uid) != 0)
        refuse("change user");
    if (::setuid(0) == 0) {
        errno = EPERM;
        refuse("user change can be undone");
    }
}

}  // namespace

std::vector<gid_t> groups_of(uid_t uid)
{
    const passwd* const user = ::getpwuid(uid);
    if (!user)
        return {};
    constexpr int most = 256;
    std::vector<gid_t> groups(most);
    int count = most;
    if (::getgrouplist(user->pw_name, user->pw_gid, groups.data(), &count) < 0)
        count = most;                                              // he has more: those that found room
    groups.resize(static_cast<std::size_t>(count));
    std::erase(groups, gid_t{0});
    return groups;
}

void set_limits(unsigned descriptors)
{
    rlimit files{};
    if (::getrlimit(RLIMIT_NOFILE, &files) != 0)
        refuse("read the limit of descriptors");
    const rlim_t hard = ::geteuid() == 0 ? std::max<rlim_t>(files.rlim_max, descriptors) : files.rlim_max;
    const rlimit wanted{std::min<rlim_t>(hard, descriptors), hard};
    if (::setrlimit(RLIMIT_NOFILE, &wanted) != 0 && ::geteuid() != 0)
        refuse("set the limit of descriptors");
    const rlimit no_core{0, 0};
    if (::setrlimit(RLIMIT_CORE, &no_core) != 0)
        refuse("switch off core dumps");
}

Confined confine(const Place& place, const Confinement& confinement)
{
    must_have_one_thread();
    Confined result;
    result.landlock = landlock_version();
    const bool root = ::geteuid() == 0;

    ::tzset();                                                     // log lines need the zone; its file will be out of reach
    set_limits(65536);
    if (!place.queue_directory.empty() && ::chdir(place.queue_directory.c_str()) != 0)
        refuse("change to the queue directory");

    // Landlock shows a service less than the queue directory has. Behind another root the tables that libraries open by name, the data directory
    // and the system's own resolv.conf would be gone as well.
    const bool change_root = confinement.root == Root::column ? place.chroot : confinement.root == Root::spool && result.landlock == 0;
    const bool starts_commands = confinement.may.has(May::start_commands);
    if (root) {
        if (!starts_commands)
            drop_bounding_set();
        if (change_root) {
            if (::chroot(place.queue_directory.c_str()) != 0 || ::chdir("/") != 0)
                refuse("change the root folder");
            result.chrooted = true;
        }
        if (confinement.user == User::mail_owner) {
            // Who starts commands keeps the power to, beside what the owner of the mail system may do with its own files.
            if (starts_commands && ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
                refuse("keep capabilities");
            become(place.uid, place.gid, confinement.groups);
        }
    } else {
        if (change_root)
            result.left_out.push_back("root folder");
        if (confinement.user == User::mail_owner && place.uid != ::geteuid())
            result.left_out.push_back("user");
    }
    if ((confinement.user == User::mail_owner && !starts_commands) || !root)
        drop_capabilities();
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)                 // no ptrace by others of the same user, no core
        refuse("switch off ptrace");
    if (starts_commands) {
        if (root)
            drop_capabilities(for_commands | (confinement.may.has(May::change_root) ? 1u << CAP_SYS_CHROOT : 0u));
        return result;
    }
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        refuse("set no_new_privs");

    if (result.landlock > 0) {
        Place seen = place;
        if (result.chrooted) {
            // Inside the new root the queue directory is "/"; nothing else is to be seen there.
            seen.queue_directory = "/";
            seen.data_directory.clear();
        }
        Confinement narrowed = confinement;
        if (result.chrooted)
            narrowed.readable.clear();
        restrict_files(seen, narrowed);
    }
    result.filtered = filter_system_calls(confinement.may);
    return result;
}

}  // namespace posthorn::process
