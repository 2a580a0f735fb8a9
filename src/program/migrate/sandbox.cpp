#include "migrate/sandbox.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "commands/command.hpp"
#include "config/list.hpp"
#include "supervisor/instance_lock.hpp"

#include <fmt/format.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <thread>

namespace posthorn::migrate {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

constexpr std::array delivery{"smtp", "lmtp", "local", "virtual", "pipe", "error", "discard"};

/// What holds for both copies, whatever the configuration says.
constexpr std::array<std::pair<std::string_view, std::string_view>, 34> common{{
    {"smtpd_authorized_xclient_hosts", "127.0.0.1"},
    {"smtpd_milters", ""},
    {"smtpd_milter_maps", ""},
    {"non_smtpd_milters", ""},
    {"smtpd_proxy_filter", ""},
    {"content_filter", ""},
    {"smtpd_upstream_proxy_protocol", ""},
    {"smtpd_tls_security_level", "none"},
    {"smtpd_tls_wrappermode", "no"},
    {"smtpd_enforce_tls", "no"},
    {"smtpd_use_tls", "no"},
    {"smtpd_client_connection_count_limit", "0"},
    {"smtpd_client_connection_rate_limit", "0"},
    {"smtpd_client_message_rate_limit", "0"},
    {"smtpd_client_recipient_rate_limit", "0"},
    {"smtpd_client_new_tls_session_rate_limit", "0"},
    {"smtpd_error_sleep_time", "0"},
    {"smtpd_soft_error_limit", "100000"},
    {"smtpd_hard_error_limit", "100000"},
    {"smtpd_junk_command_limit", "100000"},
    {"smtpd_recipient_overshoot_limit", "100000"},
    {"smtpd_tls_session_cache_database", ""},
    {"smtp_tls_session_cache_database", ""},
    {"lmtp_tls_session_cache_database", ""},
    {"address_verify_map", ""},
    {"postscreen_cache_map", ""},
    {"enable_original_recipient", "yes"},
    {"always_bcc", ""},
    {"maximal_queue_lifetime", "1d"},
    {"syslog_name", "postfix"},
    {"notify_classes", ""},
    {"record_file", ""},
    {"record_hook_url", ""},
    {"authorized_submit_users", "static:anyone"},
}};

/// No login at all; or those that XCLIENT brings, while AUTH is offered to nobody.
constexpr std::array<std::pair<std::string_view, std::string_view>, 1> no_logins{{{"smtpd_sasl_auth_enable", "no"}}};
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> told_logins{
    {{"smtpd_sasl_type", "dovecot"}, {"smtpd_sasl_path", "private/nobody-is-asked"}, {"smtpd_sasl_exceptions_networks", "0.0.0.0/0, [::]/0"}}};

int free_port()
{
    const Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (!probe || ::bind(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return 0;
    return ntohs(address.sin_port);
}

bool greets(int port)
{
    const Fd probe(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    const timeval limit{2, 0};
    char octet = 0;
    return probe && ::setsockopt(probe.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
           ::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 && ::recv(probe.get(), &octet, 1, 0) == 1;
}

/// What a server said that ended instead of greeting: it would say it again, as often as it is started.
std::string why_it_refuses(std::string_view log)
{
    static constexpr std::string_view fatal = "]: fatal: ";
    for (const std::string_view line : split(log, "\n"))
        if (const std::size_t at = line.find(fatal); at != line.npos && line.substr(0, at).rfind("/smtpd[") != line.npos)
            return std::string(line.substr(at + fatal.size()));
    return {};
}

bool is_server(const config::ServiceLine& line)
{
    return line.command == "smtpd" && (line.type == config::Transport::inet || line.type == config::Transport::pass);
}

/// Of a line that stands for port 25; "smtpd" is the one behind postscreen.
bool is_public(std::string_view service)
{
    return service == "smtp" || service == "25" || service == "smtpd" || service.ends_with(":smtp") || service.ends_with(":25");
}

std::string option(std::string_view name, std::string_view value) { return fmt::format("  -o {{ {} = {} }}\n", name, value); }

std::string text_of_value(const config::Snapshot& snapshot, std::string_view name)
{
    try {
        return snapshot.text(name);
    } catch (const config::BadValue&) {
        return {};  // said among the errors of the start
    }
}

/// The files are elsewhere than what they name beside them.
std::string at_home(std::string text, const std::string& directory)
{
    for (const std::string_view name : {"${config_directory}", "$(config_directory)", "$config_directory"})
        for (std::size_t at = 0; (at = text.find(name, at)) != text.npos; at += directory.size())
            text.replace(at, name.size(), directory);
    return text;
}

using Values = std::vector<std::pair<std::string, std::string>>;

/// Restrictions, and the classes that they may name, where others would be asked.
Values changed_restrictions(const config::Snapshot& snapshot)
{
    std::set<std::string> lists{"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_relay_restrictions",
                                "smtpd_recipient_restrictions"};
    for (const std::string_view word : split(text_of_value(snapshot, "smtpd_restriction_classes"), ", \t\r\n"))
        lists.emplace(word);
    Values changed;
    for (const std::string& list : lists) {
        const std::string value = text_of_value(snapshot, list);
        if (value.find("check_policy_service") != value.npos || value.find("reject_unverified_") != value.npos)
            changed.emplace_back(list, without_questions_to_others(value));
    }
    return changed;
}

/// What main.cf says last in each copy.
Values forced_values(const SandboxShape& shape)
{
    Values forced;
    for (const auto& [name, value] : common)
        forced.emplace_back(name, value);
    if (shape.logins)
        for (const auto& [name, value] : told_logins)
            forced.emplace_back(name, value);
    else
        for (const auto& [name, value] : no_logins)
            forced.emplace_back(name, value);
    return forced;
}

bool has(const Values& values, std::string_view name)
{
    return std::ranges::any_of(values, [&](const auto& one) { return one.first == name; });
}

/// A line of the copy, with the options of the old one that main.cf's last word cannot overrule. `line`: null where there is none to take them from.
std::string listening_line(const config::Snapshot& snapshot, const config::ServiceLine* line, int port, const Values& forced,
                           const std::string& directory)
{
    std::string text = fmt::format("127.0.0.1:{} inet n - n - - smtpd\n", port);
    if (!line)
        return text;
    const Values changed = changed_restrictions(snapshot.for_service(line->name, line->command, line->overrides, "master.cf"));
    for (const config::Assignment& assignment : line->overrides)
        if (!has(forced, assignment.name) && !has(changed, assignment.name))
            text += option(assignment.name, at_home(assignment.value, directory));
    for (const auto& [name, value] : changed)
        text += option(name, at_home(value, directory));
    return text;
}

}  // namespace

const config::ServiceLine* server_line(const config::MasterCf& master_cf, std::string_view service)
{
    const config::ServiceLine *first = nullptr, *of_port_25 = nullptr, *behind = nullptr;
    bool screened = false;
    for (const config::ServiceLine& line : master_cf.services) {
        screened |= line.command == "postscreen" && line.name == service;
        if (!is_server(line))
            continue;
        if (!service.empty() && line.name == service)
            return &line;
        if (!first)
            first = &line;
        if (!of_port_25 && is_public(line.name))
            of_port_25 = &line;
        if (!behind && line.type == config::Transport::pass)
            behind = &line;
    }
    if (screened)
        return behind;
    if (service.empty())
        return of_port_25 ? of_port_25 : first;
    return is_public(service) ? of_port_25 : nullptr;
}

Result<PostfixPrograms> PostfixPrograms::find(const std::string& root)
{
    PostfixPrograms programs;
    programs.root = root == "/" ? "" : root;
    programs.commands = programs.root + "/usr/sbin";
    for (const char* folder : {"/usr/lib/postfix/sbin", "/usr/libexec/postfix", "/usr/lib/postfix"})
        if (::access((programs.root + folder + "/master").c_str(), X_OK) == 0) {
            programs.daemons = programs.root + folder;
            break;
        }
    if (programs.daemons.empty() || ::access((programs.commands + "/postdrop").c_str(), X_OK) != 0)
        return Error{fmt::format("no Postfix below {}", root)};
    // Links to programs of ours have Postfix's names as well; the master is nobody else's.
    return programs;
}

std::string_view left_out_text() { return "policy servers, Milters, proxy filters, address probes, AUTH and TLS: both copies run without them"; }

std::string without_questions_to_others(std::string_view restrictions)
{
    std::string kept;
    bool skip = false;
    for (const std::string_view piece : config::split_grouped(restrictions)) {
        if (std::exchange(skip, false))
            continue;
        skip = piece == "check_policy_service";
        if (skip || piece.starts_with("reject_unverified_") || (piece.starts_with('{') && piece.find("check_policy_service") != piece.npos))
            continue;
        kept += (kept.empty() ? "" : ", ") + std::string(piece);
    }
    return kept;
}

SandboxFiles sandbox_files(const Survey& survey, const config::MasterCf& master_cf, const SandboxShape& shape)
{
    const config::Snapshot& snapshot = survey.snapshot;
    const PostfixPrograms* const postfix = shape.postfix;
    const Values forced = forced_values(shape);
    SandboxFiles files;
    if (const auto written = config::read_file(survey.directory + "/main.cf"))
        files.main_cf = at_home(*written, survey.directory);
    if (!files.main_cf.ends_with('\n'))
        files.main_cf += '\n';
    const auto set = [&](std::string_view name, std::string_view value) { files.main_cf += fmt::format("{} = {}\n", name, value); };
    // A host name that another process name or directory would give stays what it is there.
    set("myhostname", text_of_value(snapshot, "myhostname"));
    for (const auto& [name, value] : forced)
        set(name, value);
    for (const auto& [name, value] : changed_restrictions(snapshot))
        set(name, at_home(value, survey.directory));
    set("queue_directory", shape.folder + "/queue");
    set("data_directory", shape.folder + "/data");
    set("maillog_file", shape.folder + "/log");
    set("maillog_file_prefixes", shape.folder);
    const std::string user = text_of_value(snapshot, "mail_owner"), group = text_of_value(snapshot, "setgid_group");
    if (!::getpwnam(user.c_str()) || !::getgrnam(group.c_str())) {
        set("mail_owner", ::getpwnam("posthorn") ? "posthorn" : "mail");
        set("setgid_group", ::getgrnam("postdrop") ? "postdrop" : "daemon");
        set("default_privs", "nobody");
    }
    if (postfix) {
        set("command_directory", shape.folder + "/bin");
        set("daemon_directory", postfix->daemons);
        if (!postfix->root.empty()) {
            set("shlib_directory", postfix->root + "/usr/lib/postfix");
            set("meta_directory", postfix->root + "/etc/postfix");
            set("import_environment", "MAIL_CONFIG LD_LIBRARY_PATH TZ LANG=C");
        }
        set("export_environment", "TZ LANG=C MAIL_CONFIG LD_LIBRARY_PATH");          // sendmail runs postdrop
    }

    for (const auto& [service, port] : shape.ports)
        if (const config::ServiceLine* line = server_line(master_cf, service); line || service.empty())
            files.master_cf += listening_line(snapshot, line, port, forced, survey.directory);
    bool postlog = false;
    for (const config::ServiceLine& service : master_cf.services) {
        if (service.type == config::Transport::inet || service.type == config::Transport::pass || service.command == "spawn" ||
            service.command == "postscreen")
            continue;
        postlog |= service.command == "postlogd";
        const bool delivers = std::ranges::find(delivery, service.command) != delivery.end();
        const auto& columns = service.columns;
        if (delivers && postfix) {
            files.master_cf += fmt::format("{} unix - - n - - discard\n{}", service.name, option("syslog_name", "posthorn-asks/" + service.name));
            continue;
        }
        if (delivers && service.command == "pipe")
            continue;
        files.master_cf +=
            fmt::format("{} {} {} {} n {} {} {}\n", columns[0], columns[1], columns[2], columns[3], columns[5], columns[6], columns[7]);
    }
    if (!postlog)
        files.master_cf += "postlog unix-dgram n - n - 1 postlogd\n";
    return files;
}

Result<void> Sandbox::make(const Survey& survey, const std::vector<std::string>& services)
{
    char name[] = "/tmp/posthorn-asks.XXXXXX";
    if (!::mkdtemp(name))
        return system_error("create a folder in /tmp", errno);
    shape_.folder = name;
    TRY_VOID(guard());
    ::chmod(name, 0755);
    config_ = shape_.folder + "/conf";
    TRY(const auto master_cf, config::read_master_cf(survey.directory + "/master.cf"));
    std::set<int> taken;
    for (const std::string& service : services)
        if (service.empty() || server_line(master_cf, service)) {
            int port = free_port();
            for (int tries = 0; !taken.insert(port).second && tries < 100; ++tries)
                port = free_port();
            shape_.ports[service] = port;
        }
    const SandboxFiles files = sandbox_files(survey, master_cf, shape_);
    std::error_code trouble;
    fs::create_directories(config_, trouble);
    fs::create_directories(shape_.folder + "/data", trouble);
    std::ofstream(config_ + "/main.cf") << files.main_cf;
    std::ofstream(config_ + "/master.cf") << files.master_cf;
    // Tables that are named relative to the directory, and files that Postfix wants beside main.cf.
    for (const char* beside : {"dynamicmaps.cf", "postfix-files"})
        if (fs::exists(survey.directory + "/" + beside))
            fs::copy_file(survey.directory + "/" + beside, config_ + "/" + beside, trouble);
    return shape_.postfix ? make_folders_of_postfix() : Result<void>();
}

Result<void> Sandbox::make_folders_of_postfix()
{
    const std::string& folder = shape_.folder;
    std::error_code trouble;
    // A copy without the set-gid bit: with it, it takes no configuration but the installed one.
    fs::create_directories(folder + "/bin", trouble);
    fs::copy_file(shape_.postfix->commands + "/postdrop", folder + "/bin/postdrop", trouble);
    if (trouble || ::chmod((folder + "/bin/postdrop").c_str(), 0755) != 0)
        return Error{fmt::format("copy {}/postdrop: {}", shape_.postfix->commands, trouble ? trouble.message() : errno_text(errno))};
    TRY(const auto snapshot, config::load(config_, "migrate", {}));
    const passwd* owner = ::getpwnam(snapshot.text("mail_owner").c_str());
    if (!owner)
        return Error{"mail_owner: unknown user"};
    const uid_t uid = owner->pw_uid;
    for (const char* sub : {"active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid", "private", "public",
                            "saved", "trace"}) {
        const std::string path = folder + "/queue/" + sub;
        fs::create_directories(path, trouble);
        if (std::string_view(sub) != "pid" && ::chown(path.c_str(), uid, static_cast<gid_t>(-1)) != 0)
            return system_error("chown " + path, errno);
    }
    if (::chown((folder + "/data").c_str(), uid, static_cast<gid_t>(-1)) != 0)
        return system_error("chown " + folder + "/data", errno);
    return {};
}

int Sandbox::run(std::vector<std::string> words) const
{
    std::vector<char*> arguments;
    for (std::string& word : words)
        arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const std::string config = config_, libraries = shape_.postfix && !shape_.postfix->root.empty() ? shape_.postfix->root + "/usr/lib/postfix" : "";
    const pid_t pid = ::fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        const int nowhere = ::open("/dev/null", O_RDWR), errors = ::open((shape_.folder + "/errors").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
        ::dup2(nowhere, STDIN_FILENO);
        ::dup2(nowhere, STDOUT_FILENO);
        ::dup2(errors, STDERR_FILENO);
        ::setenv("MAIL_CONFIG", config.c_str(), 1);
        if (!libraries.empty())
            ::setenv("LD_LIBRARY_PATH", libraries.c_str(), 1);
        ::execv(arguments.front(), arguments.data());
        ::_exit(127);
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string Sandbox::log() const
{
    std::ifstream file(shape_.folder + "/log");
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string Sandbox::last_words() const
{
    std::ifstream errors(shape_.folder + "/errors");
    const std::string said((std::istreambuf_iterator<char>(errors)), {}), text = log() + said;
    const auto lines = split(text, "\n");
    std::string last;
    for (std::size_t i = lines.size() > 3 ? lines.size() - 3 : 0; i < lines.size(); ++i)
        last += (last.empty() ? "" : "; ") + std::string(lines[i]);
    return last;
}

Result<void> Sandbox::run_master()
{
    const std::string_view whose = shape_.postfix ? "Postfix" : "Posthorn";
    const std::string program = shape_.postfix ? shape_.postfix->daemons + "/master" : commands::executable_folder() + "posthorn-master";
    const int status = run({program, "-c", config_, "-w"});
    // The number is in the file a moment after the starter returns.
    pid_t master = 0;
    for (int tries = 0; status == 0 && master <= 1 && tries < 200; ++tries) {
        master = supervisor::running_instance(shape_.folder + "/queue").value_or(0);
        if (master <= 1)
            std::this_thread::sleep_for(50ms);
    }
    if (status != 0 || master <= 1)
        return Error{fmt::format("the private copy of {} does not start: {}", whose, last_words())};
    for (const auto& [service, port] : shape_.ports)
        for (const auto end = std::chrono::steady_clock::now() + 120s; !greets(port); std::this_thread::sleep_for(100ms)) {
            const std::string refused = why_it_refuses(log());
            if (!refused.empty() || std::chrono::steady_clock::now() > end)
                return Error{fmt::format("the private copy of {} does not greet{}{}: {}", whose, service.empty() ? "" : " as ", service,
                                         refused.empty() ? last_words() : refused)};
        }
    return {};
}

Result<std::unique_ptr<Sandbox>> Sandbox::start(const Survey& survey, const PostfixPrograms* postfix, const std::vector<std::string>& services,
                                                bool logins)
{
    std::unique_ptr<Sandbox> box(new Sandbox);
    box->shape_.postfix = postfix;
    box->shape_.logins = logins;
    TRY_VOID(box->make(survey, services));
    TRY_VOID(box->run_master());
    return box;
}

/// A process of its own session, which a terminal's interrupt does not reach. It waits for the end of this one.
Result<void> Sandbox::guard()
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return system_error("make a pipe", errno);
    Fd read_end(ends[0]);
    alive_ = Fd(ends[1]);
    guardian_ = ::fork();
    if (guardian_ < 0)
        return system_error("start a process", errno);
    if (guardian_ > 0)
        return {};
    ::setsid();
    // Nobody is to wait for what was open here: other guardians for their end, a reader for that of our output.
    ::dup2(read_end.get(), 0);
    ::close_range(1, ~0U, 0);
    char octet;
    while (::read(0, &octet, 1) < 0 && errno == EINTR) {
    }
    stop_and_remove();
    ::_exit(0);
}

void Sandbox::stop_and_remove() const
{
    // By its lock: who has ended is not there any more, whether or not somebody has taken note of its end. While it starts there is no number yet.
    const auto master = [&] { return supervisor::running_instance(shape_.folder + "/queue"); };
    auto first = master();
    for (int tries = 0; first && *first <= 1 && tries < 400; ++tries, first = master())
        std::this_thread::sleep_for(25ms);
    if (first && *first > 1) {
        ::kill(*first, SIGTERM);
        for (int tries = 0; tries < 400 && master() == first; ++tries)
            std::this_thread::sleep_for(25ms);
        if (master() == first)
            ::kill(*first, SIGKILL);
    }
    std::error_code ignored;
    fs::remove_all(shape_.folder, ignored);
}

Sandbox::~Sandbox()
{
    if (shape_.folder.empty())
        return;
    stop_and_remove();
    alive_.reset();
    while (guardian_ > 0 && ::waitpid(guardian_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

}  // namespace posthorn::migrate
