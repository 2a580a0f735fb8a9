// postfix(1): starts, stops and checks the mail system. Its lines go to the log as postfix/postfix-script and to standard error.
#include "commands/check.hpp"
#include "commands/command.hpp"
#include "commands/instances.hpp"
#include "commands/letters.hpp"
#include "commands/postfix_tls.hpp"
#include "commands/run_program.hpp"
#include "commands/script.hpp"
#include "inquiry/ask.hpp"

#include "base/strings.hpp"
#include "config/edit.hpp"
#include "config/main_cf.hpp"
#include "config/paths.hpp"
#include "ipc/client.hpp"
#include "process/control.hpp"
#include "supervisor/instance_lock.hpp"
#include "supervisor/params.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

namespace posthorn::commands {

using inquiry::ask;

namespace {

using namespace std::chrono_literals;

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
    return run_program(master, {"posthorn-master", "-c", config_directory, "-n"}).status;
}

/// Renames `path`, and says to what; empty: it could not, and why was said.
std::string set_aside(Script& script, const std::string& path, std::string_view suffix)
{
    std::string old = fmt::format("{}.{}", path, suffix);
    if (::rename(path.c_str(), old.c_str()) == 0)
        return old;
    script.fatal(fmt::format("rename {} to {}: {}", path, old, errno_text(errno)));
    return {};
}

/// The log, and the records beside it.
int rotate(Script& script, const config::Snapshot& snapshot)
{
    const auto is_file = [](const std::string& path) { return !path.empty() && path != "/dev/stdout"; };
    const std::string log = snapshot.text("maillog_file"), records = snapshot.text("record_file");
    std::vector<std::string> paths;
    for (const std::string& path : {log, records})
        if (is_file(path))
            paths.push_back(path);
    if (paths.empty())
        return script.fatal(log.empty() ? "empty 'maillog_file' parameter value - logfile rotation failed"
                                        : "maillog_file is not a file: there is nothing to rotate");
    const time_t now = ::time(nullptr);
    tm parts{};
    ::localtime_r(&now, &parts);
    char suffix[256] = "";
    const std::string format = snapshot.text("maillog_file_rotate_suffix");
    if (::strftime(suffix, sizeof suffix, format.c_str(), &parts) == 0)
        return script.fatal(fmt::format("bad maillog_file_rotate_suffix value: {}", format));
    struct stat there{};
    for (const std::string& path : paths)                          // of all of them, before one is renamed
        if (const std::string old = fmt::format("{}.{}", path, suffix); ::lstat(old.c_str(), &there) == 0)
            return script.fatal(fmt::format("{} exists already: not overwritten", old));
    std::vector<std::string> old;
    for (const std::string& path : paths)
        if (old.emplace_back(set_aside(script, path, suffix)).empty())
            return 1;
    // The master opens new ones within a second, and its services go on there; then the old ones are at rest.
    std::this_thread::sleep_for(2500ms);
    const std::string compressor = snapshot.text("maillog_file_compressor");
    // Records that are posted may not all have been: whoever posts them reads on in the old file.
    if (!snapshot.text("record_hook_url").empty() && is_file(records))
        old.pop_back();
    for (const std::string& path : old)
        if (!compressor.empty())
            if (const auto ended = run_program("/bin/sh", {"sh", "-c", compressor + " \"$1\"", "sh", path}); ended.status != 0)
                return script.fatal(fmt::format("{} {}: exit status {}", compressor, path, ended.status));
    return 0;
}

/// "name=value ...": what set-permissions and upgrade-configuration change in main.cf first; what then fails the check is taken back.
int change_and_check(const std::string& master, const std::string& config_directory, std::span<char*> words)
{
    static constexpr std::string_view known[] = {
        "command_directory", "compatibility_level", "config_directory",  "daemon_directory", "data_directory",  "html_directory",
        "mail_owner",        "mailq_path",          "manpage_directory", "meta_directory",   "newaliases_path", "openssl_path",
        "queue_directory",   "readme_directory",    "sample_directory",  "sendmail_path",    "setgid_group",    "shlib_directory"};
    std::vector<std::pair<std::string, std::string>> settings;
    for (const std::string_view word : words) {
        const auto equals = word.find('=');
        if (equals == word.npos || std::ranges::find(known, word.substr(0, equals)) == std::end(known))
            throw Failure(fmt::format("\"{}\": expected name=value, with the name of an owner, a group or a place", printable(word, true)), 1);
        settings.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    }
    const std::string path = config_directory + "/main.cf";
    const auto before = config::read_file(path);
    if (!settings.empty())
        set_parameters(config_directory, settings);
    if (check(master, config_directory) == 0)
        return 0;
    if (!settings.empty() && before)
        if (const auto back = config::rewrite(path, [&](std::string_view) -> Result<std::string> { return *before; }); !back)
            throw Failure(back.error().text(), 1);
    return 1;
}

/// With other instances beside this one, their manager runs the command for each; -c and MAIL_CONFIG mean one alone.
void hand_to_wrapper(const config::Snapshot& snapshot, std::span<char*> words)
{
    std::vector<std::string> command;
    const std::string wrapper = snapshot.text("multi_instance_wrapper");
    for (const std::string_view word : split(wrapper))
        command.emplace_back(word);
    if (command.empty())
        throw Failure(
            "multi_instance_directories names other instances, and multi_instance_wrapper no command that manages them: see \"postmulti -e init\"",
            1);
    command.insert(command.end(), words.begin(), words.end());
    std::vector<char*> arguments;
    for (std::string& word : command)
        arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execvp(arguments.front(), arguments.data());
    throw Failure(fmt::format("execute {}: {}", command.front(), errno_text(errno)), 1);
}

int run_postfix(std::span<char*> args)
{
    std::optional<std::string> directory;
    std::string verbose;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), postfix_letters)) > 0;) {
        switch (option) {
        case 'c': directory = ::optarg; break;
        case 'D': break;
        case 'v': verbose = "-v"; break;
        default: throw Failure("usage: postfix [-c config_dir] [-Dv] command", 1);
        }
    }
    const auto given = args.subspan(static_cast<std::size_t>(::optind));
    const std::string command = given.empty() ? "" : given.front();
    const auto more = given.subspan(given.empty() ? 0 : 1);
    const bool takes_more = command == "tls" || command == "set-permissions" || command == "upgrade-configuration" || command == "post-install";
    if (!more.empty() && !takes_more)
        throw Failure(fmt::format("postfix {}: \"{}\" is one word too many. usage: postfix [-c config_dir] [-Dv] command", printable(command),
                                  printable(more[0])),
                      1);
    const config::Snapshot snapshot = load_config("postfix", directory);
    const std::string& where = snapshot.config_directory();
    const std::string queue = snapshot.text("queue_directory");
    struct stat about{};
    if (::getuid() != 0 && ::stat(queue.c_str(), &about) == 0 && about.st_uid != ::getuid())
        throw Failure("to submit mail, use the Postfix sendmail command\npostfix: fatal: the postfix command is reserved for the superuser", 1);

    if (const char* chosen = std::getenv("MAIL_CONFIG");
        !directory && (!chosen || !*chosen) && !snapshot.text("multi_instance_directories").empty() && !given.empty()) {
        if (command == "start-fg")
            throw Failure("start-fg runs one instance: multi_instance_directories must be empty, or name the instance with -c", 1);
        hand_to_wrapper(snapshot, given);
    }
    if (command == "tls")
        return postfix_tls(snapshot, more);
    Script script(snapshot, "postfix-script");
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
        if (const int status = check(master, where); status != 0) {
            script.fatal("mail system startup failed");
            return command == "start-fg" ? status : 1;
        }
        if (const auto of = copy_held(snapshot))
            return script.fatal(fmt::format(
                "the queue directory holds the copy of the queue of {}: \"posthorn standby promote\" makes it the queue of this machine", *of));
        warn_of(parameter_warnings(snapshot));
        std::vector<std::string> words{"posthorn-master", "-c", where, command == "start" ? "-w" : "-s"};
        if (!verbose.empty())
            words.push_back(verbose);
        if (command == "start") {
            script.info("starting the Postfix mail system");
            return run_program(master, std::move(words)).status == 0 ? 0 : script.fatal("mail system startup failed");
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
        for (const std::string& note : parameter_notes(snapshot))
            script.info(note);
        return 0;
    }
    if (command == "set-permissions" || command == "upgrade-configuration" || command == "post-install") {
        // Folders are made and owned as they should be; nothing else is kept, and any master.cf of Postfix's runs.
        return change_and_check(master, where, command == "post-install" && !more.empty() ? more.subspan(1) : more);
    }
    if (command == "logrotate")
        return rotate(script, snapshot);

    static constexpr std::string_view of_running[] = {"stop", "quick-stop", "abort", "drain", "reload", "flush"};
    if (std::ranges::find(of_running, command) == std::end(of_running))
        return script.fatal(fmt::format("unknown command: '{}'. Usage: postfix start (or stop, reload, abort, flush, check, status, set-permissions, "
                                        "upgrade-configuration, logrotate, tls, start-fg, drain, quick-stop)",
                                        printable(command)));
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
    return run_program(executable_folder() + "postqueue", {"postqueue", "-c", where, "-f"}).status;
}

}  // namespace

int postfix(std::span<char*> args) { return guarded("postfix", run_postfix, args); }

}  // namespace posthorn::commands
