#include "commands/command.hpp"

#include "base/strings.hpp"
#include "config/paths.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace posthorn::commands {

void open_standard_descriptors()
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; ++descriptor)
        if (::fcntl(descriptor, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) < 0)
            ::_exit(71);
}

std::string operand_of(std::span<char*> args, std::size_t& at, std::string_view usage)
{
    if (at + 1 >= args.size() || !args[at + 1] || !*args[at + 1])
        throw Failure(fmt::format("{} needs an operand\n{}", args[at], usage), submit::exit_usage);
    return args[++at];
}

int guarded(std::string_view name, int (*body)(std::span<char*> args), std::span<char*> args)
{
    try {
        return body(args);
    } catch (const Failure& failure) {
        fmt::print(stderr, "{}: fatal: {}\n", name, failure.what());
        return failure.status;
    } catch (const std::exception& failure) {
        fmt::print(stderr, "{}: fatal: {}\n", name, failure.what());
        return 1;
    }
}

config::Snapshot load_config(std::string_view command, const std::optional<std::string>& directory, config::ParamLists own)
{
    std::string chosen = config::choose_config_directory(directory);
    // `posthorn init DIR` keeps its files in DIR/conf; DIR is what one remembers.
    if (::access((chosen + "/main.cf").c_str(), F_OK) != 0 && ::access((chosen + "/conf/main.cf").c_str(), F_OK) == 0)
        chosen += "/conf";
    if ((::getuid() != ::geteuid() || ::getgid() != ::getegid()) && ::getuid() != 0 && chosen != config::built_in_config_directory()) {
        // A user's own main.cf would send the group's powers anywhere.
        const auto built_in = config::load(std::string(config::built_in_config_directory()), command, {});
        if (!built_in ||
            !config::is_trusted_directory(chosen, built_in->text("alternate_config_directories"), built_in->text("multi_instance_directories")))
            throw Failure(fmt::format("unauthorized configuration directory name: {}", chosen), 77);
    }
    auto snapshot = config::load(chosen, command, own);
    if (!snapshot)
        throw Failure(snapshot.error().text(), 78);
    return *snapshot;
}

void reserved_for_owner(const config::Snapshot& snapshot)
{
    struct stat about{};
    if (::getuid() != 0 && (::stat(snapshot.text("queue_directory").c_str(), &about) != 0 || about.st_uid != ::getuid()))
        throw Failure("use of this command is reserved for the superuser", 1);
}

std::string operator_name()
{
    const char* const before = ::getuid() == 0 ? std::getenv("SUDO_USER") : nullptr;
    if (before && *before != '\0')
        return printable(std::string_view(before).substr(0, 64)) + " by sudo";
    const passwd* const user = ::getpwuid(::getuid());
    return user ? std::string(user->pw_name) : fmt::format("uid {}", ::getuid());
}

std::string executable_folder()
{
    char path[4096];
    const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string own(path, length > 0 ? static_cast<std::size_t>(length) : 0);
    return own.substr(0, own.rfind('/') + 1);
}

}  // namespace posthorn::commands
