// postfix(1): starts, stops and checks the mail system. Its lines go to the log as postfix/postfix-script and to standard error.
#include "commands/ask.hpp"
#include "commands/check.hpp"
#include "commands/command.hpp"
#include "config/paths.hpp"
#include "ipc/client.hpp"
#include "process/control.hpp"
#include "supervisor/instance_lock.hpp"
#include "supervisor/log_target.hpp"
#include "supervisor/params.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

namespace posthorn::commands {

namespace {

using namespace std::chrono_literals;

class Script {
public:
    explicit Script(const config::Snapshot& snapshot)
        : sink_(supervisor::command_sink(snapshot)), name_(snapshot.text("syslog_name") + "/postfix-script"), log_(sink_, name_)
    {
    }
    ~Script() { sink_->flush(); }

    void info(const std::string& text) { say(observe::Level::info, "", text); }
    void warning(const std::string& text) { say(observe::Level::warning, "warning: ", text); }
    int fatal(const std::string& text)
    {
        say(observe::Level::fatal, "fatal: ", text);
        return 1;
    }

private:
    void say(observe::Level level, const char* word, const std::string& text)
    {
        fmt::print(stderr, "{}: {}{}\n", name_, word, text);
        log_.write(level, text);
    }

    std::shared_ptr<observe::Sink> sink_;
    std::string name_;
    observe::Log log_;
};

int run_program(const std::string& program, std::vector<std::string> words)
{
    std::vector<char*> arguments;
    for (std::string& word : words)
        arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const pid_t pid = ::fork();
    if (pid < 0)
        throw Failure(fmt::format("fork: {}", errno_text(errno)), 1);
    if (pid == 0) {
        ::execv(program.c_str(), arguments.data());
        ::_exit(127);
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

bool ended_within(const std::string& queue_directory, std::chrono::seconds limit)
{
    for (const auto end = std::chrono::steady_clock::now() + limit; supervisor::running_instance(queue_directory);) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        std::this_thread::sleep_for(20ms);
    }
    return true;
}

/// posthorn-master judges both files as a start would, makes the folders, and says what is wrong; 0 when all is well.
int check(const std::string& master, const std::string& config_directory)
{
    return run_program(master, {"posthorn-master", "-c", config_directory, "-n"});
}

int rotate(Script& script, const config::Snapshot& snapshot)
{
    const std::string path = snapshot.text("maillog_file");
    if (path.empty() || path == "/dev/stdout")
        return script.fatal("maillog_file is empty or is not a file: there is nothing to rotate");
    const time_t now = ::time(nullptr);
    tm parts{};
    ::localtime_r(&now, &parts);
    char suffix[256] = "";
    const std::string format = snapshot.text("maillog_file_rotate_suffix");
    if (::strftime(suffix, sizeof suffix, format.c_str(), &parts) == 0)
        return script.fatal(fmt::format("bad maillog_file_rotate_suffix value: {}", format));
    const std::string old = path + "." + suffix;
    struct stat there{};
    if (::lstat(old.c_str(), &there) == 0)
        return script.fatal(fmt::format("{} exists already: not overwritten", old));
    if (::rename(path.c_str(), old.c_str()) != 0)
        return script.fatal(fmt::format("rename {} to {}: {}", path, old, errno_text(errno)));
    // The master opens a new one within a second, and its services go on there; then the old one is at rest.
    std::this_thread::sleep_for(2500ms);
    if (const std::string compressor = snapshot.text("maillog_file_compressor"); !compressor.empty()) {
        if (const int status = run_program("/bin/sh", {"sh", "-c", compressor + " \"$1\"", "sh", old}); status != 0)
            return script.fatal(fmt::format("{} {}: exit status {}", compressor, old, status));
    }
    return 0;
}

int run(std::span<char*> args)
{
    std::optional<std::string> directory;
    std::string verbose;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), "+c:Dv")) > 0;) {
        switch (option) {
        case 'c': directory = ::optarg; break;
        case 'D': break;
        case 'v': verbose = "-v"; break;
        default: throw Failure("usage: postfix [-c config_dir] [-Dv] command", 1);
        }
    }
    if (::optind >= static_cast<int>(args.size()))
        throw Failure("usage: postfix [-c config_dir] [-Dv] command", 1);
    if (::optind + 1 < static_cast<int>(args.size()))
        throw Failure("usage: postfix [-c config_dir] [-Dv] command", 1);
    const std::string command = args[static_cast<std::size_t>(::optind)];
    const config::Snapshot snapshot = load_config("postfix", directory);
    const std::string& where = snapshot.config_directory();
    const std::string queue = snapshot.text("queue_directory");
    struct stat about{};
    if (::getuid() != 0 && ::stat(queue.c_str(), &about) == 0 && about.st_uid != ::getuid())
        throw Failure("to submit mail, use the Postfix sendmail command\npostfix: fatal: the postfix command is reserved for the superuser", 1);

    Script script(snapshot);
    const auto running = supervisor::running_instance(queue);
    const std::string master = executable_folder() + "posthorn-master";
    const auto warn_of = [&script](const std::vector<std::string>& warnings) {
        for (const std::string& warning : warnings)
            script.warning(warning);
    };
    const auto stop_limit = std::chrono::seconds([&] {
        try {
            return snapshot.get(supervisor::service_stop_time);
        } catch (const config::BadValue&) {
            return 10s;
        }
    }());

    if (command == "start" || command == "start-fg") {
        if (running)
            return script.fatal("the Postfix mail system is already running");
        if (check(master, where) != 0)
            return script.fatal("mail system startup failed");
        warn_of(parameter_warnings(snapshot));
        std::vector<std::string> words{"posthorn-master", "-c", where, command == "start" ? "-w" : "-s"};
        if (!verbose.empty())
            words.push_back(verbose);
        if (command == "start") {
            script.info("starting the Postfix mail system");
            return run_program(master, std::move(words)) == 0 ? 0 : script.fatal("mail system startup failed");
        }
        std::vector<char*> arguments;
        for (std::string& word : words)
            arguments.push_back(word.data());
        arguments.push_back(nullptr);
        ::execv(master.c_str(), arguments.data());
        return script.fatal(fmt::format("execute {}: {}", master, errno_text(errno)));
    }
    if (command == "status") {
        if (!running) {
            script.info("the Postfix mail system is not running");
            return 1;
        }
        script.info(fmt::format("the Postfix mail system is running: PID: {}", *running));
        return 0;
    }
    if (command == "check") {
        if (check(master, where) != 0)
            return 1;
        warn_of(parameter_warnings(snapshot));
        warn_of(permission_warnings(snapshot));
        return 0;
    }
    if (command == "set-permissions" || command == "upgrade-configuration" || command == "post-install")
        return check(master, where) == 0 ? 0 : 1;                      // folders are made and owned as they should be; nothing else is kept
    if (command == "logrotate")
        return rotate(script, snapshot);

    if (!running)
        return script.fatal("the Postfix mail system is not running");
    const auto tell = [&](int signal) {
        if (*running <= 0 || ::kill(*running, signal) != 0)
            throw Failure(fmt::format("signal master process {}: {}", *running, errno_text(errno)), 1);
    };
    if (command == "stop" || command == "quick-stop") {
        script.info("stopping the Postfix mail system");
        tell(SIGTERM);
        if (command == "quick-stop")
            return 0;
        // Five steps, each with its limit, and the time to kill what hangs.
        return ended_within(queue, stop_limit * 5 + 25s) ? 0 : script.fatal("the Postfix mail system did not stop in time");
    }
    if (command == "abort") {
        script.info("aborting the Postfix mail system");
        tell(SIGQUIT);
        return ended_within(queue, 30s) ? 0 : script.fatal("the Postfix mail system did not stop in time");
    }
    if (command == "drain") {
        script.info("stopping the Postfix mail system");
        tell(SIGUSR1);
        return 0;
    }
    if (command == "reload") {
        if (check(master, where) != 0)
            return script.fatal("not reloaded: the running configuration stays");
        warn_of(parameter_warnings(snapshot));
        script.info("refreshing the Postfix mail system");
        auto connected = ipc::connect_unix(fmt::format("{}/{}", snapshot.text("queue_directory"), process::master_socket));
        if (!connected) {
            tell(SIGHUP);                                          // not ours to ask: the signal alone, and no word of how it went
            return 0;
        }
        ipc::ChannelOptions options;
        options.name = "master";
        options.call_limit = 30s;
        const auto reply = ask<process::ReloadReply>(*std::move(connected), options, process::Control::reload, process::ReloadRequest{});
        if (!reply) {
            script.warning(fmt::format("the new configuration is not in service yet: {}", reply.error().text()));
            return 0;
        }
        for (const std::string& reason : reply->reasons())
            script.warning(reason);
        return reply->reasons().empty() ? 0 : script.fatal("not reloaded: the running configuration stays");
    }
    if (command == "flush")
        return run_program(executable_folder() + "postqueue", {"postqueue", "-c", where, "-f"});
    return script.fatal(fmt::format("unknown command: '{}'. Usage: postfix start (or stop, reload, abort, flush, check, status, start-fg, drain, "
                                    "quick-stop, logrotate, set-permissions, upgrade-configuration)",
                                    command));
}

}  // namespace

int postfix(std::span<char*> args) { return guarded("postfix", run, args); }

}  // namespace posthorn::commands
