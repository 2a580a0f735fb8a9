#include "supervisor/master.hpp"

#include "base/strings.hpp"
#include "config/paths.hpp"
#include "process/confine.hpp"
#include "supervisor/service_manager.hpp"
#include "supervisor/supervisor.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace posthorn::supervisor {

namespace {

/// The starter waits at the other end: one octet says that the instance serves.
class Announcement {
public:
    explicit Announcement(Fd pipe) : pipe_(std::move(pipe)) {}
    void served()
    {
        if (pipe_ && ::write(pipe_.get(), "", 1) != 1)
            (void)errno;                                           // the starter is gone: the instance runs all the same
        pipe_.reset();
    }

private:
    Fd pipe_;
};

/// Into the background: a session of its own, no terminal. Returns in the child; the parent ends with the child's outcome.
Announcement go_into_background(bool wait)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "pipe");
    Fd read_end(ends[0]), write_end(ends[1]);
    const pid_t pid = ::fork();
    if (pid < 0)
        throw std::system_error(errno, std::generic_category(), "fork");
    if (pid > 0) {
        write_end.reset();
        char octet;
        if (!wait || ::read(read_end.get(), &octet, 1) == 1)
            ::_exit(0);
        ::_exit(1);
    }
    ::setsid();
    const Fd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
    ::dup2(nowhere.get(), STDIN_FILENO);
    ::dup2(nowhere.get(), STDOUT_FILENO);
    return Announcement(std::move(write_end));
}

void say_fatal(const std::string& text) { fmt::print(stderr, "posthorn-master: fatal: {}\n", text); }

std::string beside_this_executable(std::string_view name)
{
    char path[4096];
    const ssize_t length = ::readlink("/proc/self/exe", path, sizeof path);
    const std::string own(path, length > 0 ? static_cast<std::size_t>(length) : 0);
    return own.substr(0, own.rfind('/') + 1) + std::string(name);
}

}  // namespace

int run_master(const MasterOptions& given)
{
    MasterOptions options = given;
    if (options.services_program.empty())
        options.services_program = beside_this_executable("posthorn");
    auto loaded = load_configuration(options.config_directory, options.rooms);
    if (!loaded) {
        for (const std::string& error : loaded.error())
            say_fatal(error);
        return options.foreground ? exit_configuration : 1;
    }
    // From here on the log can be told as well.
    const auto fatal = [&](const std::string& text) {
        say_fatal(text);
        const auto sink = command_sink(loaded->snapshot);
        observe::Log(sink, loaded->snapshot.text("syslog_name") + "/master").fatal("{}", text);
        return 1;
    };
    auto owner = identity(loaded->snapshot);
    if (!owner)
        return fatal(owner.error().text());
    if (auto made = loaded->layout.make(*owner); !made)
        return fatal(made.error().text());
    auto log = LogTarget::open(loaded->snapshot, options.foreground);
    if (!log)
        return fatal(log.error().text());
    auto records = LogTarget::open_records(loaded->snapshot, options.foreground, owner->uid);
    if (!records)
        return fatal(records.error().text());
    auto lock = InstanceLock::take(loaded->layout.queue_directory);
    if (!lock)
        return fatal(lock.error().text());
    if (::access(options.services_program.c_str(), X_OK) != 0)
        return fatal(fmt::format("{}: {}", options.services_program, errno_text(errno)));
    if (::chdir(loaded->layout.queue_directory.c_str()) != 0)
        return fatal(fmt::format("change to queue_directory {}: {}", loaded->layout.queue_directory, errno_text(errno)));
    ::umask(0022);
    process::set_limits(65536);

    std::optional<Announcement> announcement;
    if (!options.foreground)
        announcement = go_into_background(options.wait);
    Supervisor supervisor(options, *std::move(loaded), *owner, *std::move(log), *std::move(records), *std::move(lock));
    if (auto bound = supervisor.bind(); !bound) {
        say_fatal(bound.error().text());
        supervisor.log().fatal("{}", bound.error().text());
        return 1;
    }
    if (options.foreground) {
        const ServiceManager manager = ServiceManager::taken_from_environment();
        if (auto told = manager.ready(); !told)
            say_fatal(told.error().text());
        supervisor.is_managed_by(manager);
    }
    if (announcement) {
        const Fd nowhere(::open("/dev/null", O_RDWR | O_CLOEXEC));
        ::dup2(nowhere.get(), STDERR_FILENO);
        announcement->served();
    }
    return supervisor.run();
}

int check_configuration(const MasterOptions& options)
{
    auto loaded = load_configuration(options.config_directory, options.rooms);
    if (!loaded) {
        for (const std::string& error : loaded.error())
            say_fatal(error);
        return exit_configuration;
    }
    const auto sink = command_sink(loaded->snapshot);
    const observe::Log log(sink, loaded->snapshot.text("syslog_name") + "/master");
    for (const std::string& warning : loaded->warnings) {
        fmt::print(stderr, "posthorn-master: warning: {}\n", warning);
        log.warning("{}", warning);
    }
    auto owner = identity(loaded->snapshot);
    auto made = owner ? loaded->layout.make(*owner) : Result<void>(owner.error());
    if (made)
        if (const auto records = LogTarget::open_records(loaded->snapshot, true, owner->uid); !records)
            made = records.error();
    if (!made) {
        say_fatal(made.error().text());
        log.fatal("{}", made.error().text());
    }
    return made ? 0 : 1;
}

int master_main(int argc, char** argv, config::ParamLists rooms)
{
    MasterOptions options;
    options.rooms = rooms;
    std::optional<std::string> directory;
    bool test_lock = false, only_check = false;
    for (int option; (option = ::getopt(argc, argv, "c:Dde:instvw")) > 0;) {
        switch (option) {
        case 'c': directory = ::optarg; break;
        case 'd':
        case 'i':
        case 's': options.foreground = true; break;
        case 'n': only_check = true; break;
        case 't': test_lock = true; break;
        case 'v': ++options.verbose; break;
        case 'w':
        case 'D':
        case 'e': break;  // waiting is what it does; no debugger, no end after a time
        default: fmt::print(stderr, "usage: posthorn-master [-c config_dir] [-d] [-i] [-n] [-s] [-t] [-v] [-w]\n"); return 64;
        }
    }
    options.config_directory = config::choose_config_directory(directory);
    if (test_lock) {
        const auto snapshot = config::load(options.config_directory, "master", rooms);
        return snapshot && !running_instance(snapshot->text("queue_directory")) ? 0 : 1;
    }
    try {
        return only_check ? check_configuration(options) : run_master(options);
    } catch (const std::exception& failure) {
        say_fatal(failure.what());
        return 1;
    }
}

}  // namespace posthorn::supervisor
