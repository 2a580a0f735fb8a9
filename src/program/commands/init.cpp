// posthorn init DIR [--smtp-port N] [--sink-port M] [--admin-port P] [--inject-port Q]: a complete private instance below DIR, which calls nobody outside this machine.
// Killed half way, it leaves a folder without main.cf: the next one makes all of it anew, and says so.
#include "commands/command.hpp"
#include "commands/new_instance.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "submit/exit_status.hpp"
#include "supervisor/layout.hpp"
#include "tls/digest.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

namespace posthorn::commands {

namespace {

struct Owner {
    std::string user, group;
    std::string commands;  // default_privs, where it cannot be what it is by itself: nobody
};

/// As root the services become somebody else; without root everything is who runs it, and the names are not used.
Owner choose_owner()
{
    const auto have = [](const char* user, const char* group) { return ::getpwnam(user) && ::getgrnam(group); };
    if (have("posthorn", "postdrop"))
        return {"posthorn", "postdrop"};
    if (have("postfix", "postdrop"))
        return {"postfix", "postdrop"};
    // Whoever owns the queue may not be who commands of strangers run as: local delivery refuses to work so.
    for (const char* const other : {"bin", "daemon", "games"})
        if (const passwd* const found = ::getpwnam(other); found && found->pw_uid != 0 && found->pw_gid != 0)
            return {"nobody", "mail", other};
    return {"nobody", "mail", {}};
}

/// In main.cf, and to who made it.
std::string about_owner(const Owner& owner)
{
    if (::geteuid() != 0 || owner.user != "nobody")
        return {};
    return "there is no user posthorn or postfix: the services are nobody, as other programs of this machine may be. Before the instance serves anybody, give it "
           "a user and a group of its own (useradd -r posthorn; groupadd -r postdrop; mail_owner, setgid_group)";
}

std::string main_cf(const std::string& folder, unsigned sink_port, const Owner& owner)
{
    const std::string about = about_owner(owner);
    std::string bin = executable_folder();
    bin.pop_back();
    return fmt::format(R"(# A private instance: everything below {0}, nothing outside this machine is called.
compatibility_level = 3.6
queue_directory = {0}/queue
data_directory = {0}/data
command_directory = {1}
daemon_directory = {1}
maillog_file = {0}/log/maillog
maillog_file_prefixes = {0}/log
{5}mail_owner = {2}
setgid_group = {3}
{6}
myhostname = mail.demo.test
mydomain = demo.test
myorigin = $mydomain
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no

# Its own domain goes to a sink on this machine; mail for anywhere else comes back to its sender.
relay_domains = $mydomain
transport_maps = inline:{{ {{ $mydomain = relay:[127.0.0.1]:{4} }} }}
default_transport = error:5.1.2 this private instance delivers to $mydomain only
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
)",
                       folder, bin, owner.user, owner.group, sink_port, about.empty() ? "" : "# Note: " + about + ".\n",
                       owner.commands.empty() ? "" : "default_privs = " + owner.commands + "\n");
}

void write_file(const std::string& path, const std::string& text, mode_t mode = 0666)
{
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!file || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        throw Failure(fmt::format("write {}: {}", path, errno_text(errno)), submit::exit_cannot_create);
}

/// Where the files are until all of them are there. In the folder that they are for: a rename is all that is left to do.
constexpr std::string_view unfinished = ".unfinished";

void move_file(const std::string& conf, std::string_view name)
{
    const std::string from = fmt::format("{}/{}/{}", conf, unfinished, name), to = fmt::format("{}/{}", conf, name);
    if (::rename(from.c_str(), to.c_str()) != 0)
        throw Failure(fmt::format("rename {} to {}: {}", from, to, errno_text(errno)), submit::exit_cannot_create);
}

int run_init(std::span<char*> args)
{
    constexpr const char* usage = "usage: posthorn init DIR [--smtp-port N] [--sink-port M] [--admin-port P] [--inject-port Q]";
    std::optional<std::string> folder;
    unsigned smtp_port = 2525;
    std::optional<unsigned> sink_port, admin_port, inject_port;
    for (std::size_t i = 1; i < args.size(); ++i) {
        const std::string_view word = args[i];
        if (word == "--smtp-port" || word == "--sink-port" || word == "--admin-port" || word == "--inject-port") {
            const auto number = i + 1 < args.size() ? parse_number(args[++i]) : std::nullopt;
            if (!number || *number == 0 || *number > 65535)
                throw Failure(fmt::format("{} needs a port from 1 to 65535", word), submit::exit_usage);
            if (word == "--smtp-port")
                smtp_port = static_cast<unsigned>(*number);
            else if (word == "--admin-port")
                admin_port = static_cast<unsigned>(*number);
            else if (word == "--inject-port")
                inject_port = static_cast<unsigned>(*number);
            else
                sink_port = static_cast<unsigned>(*number);
        } else if (word.starts_with('-') || folder) {
            throw Failure(usage, submit::exit_usage);
        } else {
            folder = word;
        }
    }
    if (!folder || folder->empty())
        throw Failure(usage, submit::exit_usage);
    if (!sink_port)
        sink_port = smtp_port == 65535 ? smtp_port - 1 : smtp_port + 1;
    const std::string path = std::filesystem::absolute(*folder).lexically_normal().string();
    // The text goes into configuration files: a blank or a dollar sign would mean something there.
    if (path.find_first_of(" \t\r\n$,{}#\"'") != path.npos)
        throw Failure(fmt::format("{}: the path has characters that main.cf cannot hold in a list", printable(path, true)), submit::exit_usage);
    if (std::filesystem::exists(path + "/conf/main.cf"))
        throw Failure(fmt::format("{}/conf/main.cf exists: nothing was changed", path), submit::exit_cannot_create);
    std::error_code error;
    for (const char* sub : {"", "/conf", "/log"}) {
        std::filesystem::create_directories(path + sub, error);
        if (error)
            throw Failure(fmt::format("create {}{}: {}", path, sub, error.message()), submit::exit_cannot_create);
    }
    // An earlier one that was killed left files that nobody has used: without main.cf there is no instance.
    const std::string conf = path + "/conf", making = fmt::format("{}/{}", conf, unfinished);
    const bool again =
        std::filesystem::exists(making) || std::filesystem::exists(conf + "/master.cf") || std::filesystem::exists(conf + "/admin_token");
    std::filesystem::remove_all(making, error);
    if (error || ::mkdir(making.c_str(), 0700) != 0)
        throw Failure(fmt::format("create {}: {}", making, error ? error.message() : errno_text(errno)), submit::exit_cannot_create);
    const Owner owner = choose_owner();
    std::string master_cf = stock_master_cf(fmt::format("127.0.0.1:{}", smtp_port));
    if (admin_port) {
        master_cf += fmt::format("127.0.0.1:{} inet n - n - 1 admin\n", *admin_port);
        // Who may read it may change the queue over HTTP.
        write_file(making + "/admin_token", hex_encode(tls::random_octets(24)) + "\n", 0600);
    }
    if (inject_port)
        master_cf += fmt::format("127.0.0.1:{} inet n - n - - inject\n", *inject_port);
    write_file(making + "/master.cf", master_cf);
    write_file(making + "/main.cf",
               main_cf(path, *sink_port, owner) + (admin_port ? fmt::format("\nadmin_token_file = {}/admin_token\n", conf) : std::string()));
    // The queue's folders too: sendmail works before the first start.
    const config::Snapshot snapshot = load_config("init", making);
    const auto ids = supervisor::identity(snapshot);
    if (!ids)
        throw Failure(ids.error().text(), submit::exit_cannot_create);
    if (const auto made = supervisor::Layout::from(snapshot).make(*ids); !made)
        throw Failure(made.error().text(), submit::exit_cannot_create);
    // main.cf last: a folder with main.cf in it is complete.
    if (admin_port)
        move_file(conf, "admin_token");
    else
        std::filesystem::remove(conf + "/admin_token", error);  // of the one that was killed
    move_file(conf, "master.cf");
    move_file(conf, "main.cf");
    std::filesystem::remove(making, error);  // empty; should it stay, nothing reads it
    if (again)
        fmt::print("An earlier posthorn init of this folder had not come to its end: all of it has been made anew.\n");
    if (const std::string about = about_owner(owner); !about.empty())
        fmt::print(stderr, "posthorn init: warning: {}\n", about);
    fmt::print("A private instance is in {0}.\n"
               "  start it:     postfix -c {0} start\n"
               "  hand mail in: 127.0.0.1:{1}, or sendmail -C {0}/conf/main.cf user@demo.test\n"
               "  its sink:     127.0.0.1:{2} takes the mail for demo.test\n"
               "  its log:      {0}/log/maillog\n",
               path, smtp_port, *sink_port);
    if (inject_port)
        fmt::print("  over HTTP:    POST http://127.0.0.1:{}/api/inject/v1 (docs/inject.md)\n", *inject_port);
    if (admin_port)
        fmt::print("  look into it: http://127.0.0.1:{}/ (what changes the queue needs the token in {}/conf/admin_token)\n", *admin_port, path);
    return 0;
}

}  // namespace

int posthorn_init(std::span<char*> args) { return guarded("posthorn init", run_init, args); }

}  // namespace posthorn::commands
