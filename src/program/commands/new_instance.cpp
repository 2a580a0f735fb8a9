#include "commands/new_instance.hpp"

#include "base/strings.hpp"
#include "commands/command.hpp"
#include "config/main_cf.hpp"
#include "spool/opening.hpp"
#include "supervisor/instance_lock.hpp"
#include "supervisor/layout.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace posthorn::commands {

namespace {

namespace fs = std::filesystem;

/// What all instances of a host have in common.
constexpr std::string_view shared[] = {
    "compatibility_level", "command_directory", "daemon_directory", "meta_directory",        "shlib_directory",          "mail_owner",
    "setgid_group",        "default_privs",     "maillog_file",     "maillog_file_prefixes", "maillog_file_permissions", "inet_protocols",
    "sendmail_path",       "newaliases_path",   "mailq_path"};

void write_new(const std::string& path, const std::string& text)
{
    std::ofstream file(path);
    file << text;
    file.close();
    if (!file)
        throw Failure(fmt::format("write {}: {}", path, errno_text(errno)), 1);
}

void warn_left(const fs::path& path) { fmt::print(stderr, "postmulti: warning: {} has other files: left as it is\n", path.string()); }

void remove_folder(const fs::path& path)
{
    std::error_code trouble;
    if (fs::exists(fs::symlink_status(path, trouble)) && !fs::remove(path, trouble) && trouble)
        warn_left(path);
}

void remove_files(const fs::path& folder, bool (*is_ours)(const fs::directory_entry& entry))
{
    std::error_code trouble;
    std::vector<fs::path> ours;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder, trouble))
        if (is_ours(entry))
            ours.push_back(entry.path());
    for (const fs::path& file : ours)
        fs::remove(file, trouble);
}

void must_be_empty(const Instance& instance)
{
    const auto stored = spool::messages_at_rest(instance.queue_directory + "/spool");
    if (!stored)
        throw Failure(stored.error().text(), 1);
    std::error_code trouble;
    const auto dropped = fs::directory_iterator(instance.queue_directory + "/maildrop", trouble);
    if (*stored > 0 || (!trouble && dropped != fs::directory_iterator()))
        throw Failure(fmt::format("{}: the queue is not empty", instance.queue_directory), 1);
}

}  // namespace

bool has_configuration(const std::string& directory)
{
    return ::access((directory + "/main.cf").c_str(), F_OK) == 0 && ::access((directory + "/master.cf").c_str(), F_OK) == 0;
}

std::string stock_master_cf(const std::string& smtp)
{
    return fmt::format(R"(# service type  private unpriv  chroot  wakeup  maxproc command + args
{0} inet n -       n       -       -       smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
proxywrite unix -       -       n       -       1       proxymap
smtp      unix  -       -       n       -       -       smtp
relay     unix  -       -       n       -       -       smtp
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
local     unix  -       n       n       -       -       local
virtual   unix  -       n       n       -       -       virtual
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
)",
                       smtp);
}

void make_instance(const config::Snapshot& primary, const Instance& fresh)
{
    std::error_code trouble;
    fs::create_directories(fresh.config_directory, trouble);
    if (trouble)
        throw Failure(fmt::format("create {}: {}", fresh.config_directory, trouble.message()), 1);
    std::string text = "# Made by postmulti. Nothing listens to the network, and nobody may submit mail, before the next two lines are changed.\n"
                       "master_service_disable = inet\nauthorized_submit_users =\n\n";
    for (const std::string_view name : shared)
        if (const config::Definition* written = primary.definition(name))
            text += fmt::format("{} = {}\n", name, written->value);
    text += fmt::format("queue_directory = {}\ndata_directory = {}\nmulti_instance_name = {}\nmulti_instance_group = {}\n", fresh.queue_directory,
                        fresh.data_directory, fresh.name, fresh.group);
    const auto model = config::read_file(primary.text("meta_directory") + "/master.cf.proto");
    write_new(fresh.config_directory + "/master.cf", model ? *model : stock_master_cf("smtp     "));
    write_new(fresh.config_directory + "/main.cf", text);
    const config::Snapshot snapshot = load_config("postmulti", fresh.config_directory);
    const auto owner = supervisor::identity(snapshot);
    if (!owner)
        throw Failure(owner.error().text(), 1);
    if (const auto made = supervisor::Layout::from(snapshot).make(*owner); !made)
        throw Failure(made.error().text(), 1);
}

void remove_instance(const Instance& instance)
{
    if (supervisor::running_instance(instance.queue_directory))
        throw Failure(fmt::format("{}: the mail system is running", instance.config_directory), 1);
    must_be_empty(instance);
    const fs::path queue = instance.queue_directory;
    remove_files(queue / "spool", [](const fs::directory_entry& entry) { return entry.path().filename().string().starts_with("spool."); });
    for (const char* name : {"private", "public"})
        remove_files(queue / name, [](const fs::directory_entry& entry) { return entry.is_socket() || entry.is_fifo(); });
    remove_files(queue / "pid", [](const fs::directory_entry& entry) { return entry.path().extension() == ".pid"; });
    std::error_code gone;
    fs::remove_all(queue / "spool/deliverers", gone);                  // numbers of delivery processes
    for (const char* name : {"spool/incoming", "spool", "incoming", "active", "deferred", "hold", "corrupt", "bounce", "defer", "trace", "flush",
                             "saved", "private", "pid", "public", "maildrop", ""})
        remove_folder(*name ? queue / name : queue);
    // Caches of the data directory come back by themselves.
    const fs::path data = instance.data_directory;
    remove_files(data, [](const fs::directory_entry& entry) {
        const std::string name = entry.path().filename();
        return name == "master.lock" || name == "prng_exch" || name.ends_with(".lmdb") || name.ends_with(".lmdb-lock") || name.ends_with(".db");
    });
    fs::remove_all(data / "transcripts", gone);
    remove_folder(data);
    std::error_code trouble;
    for (const char* name : {"main.cf", "master.cf"})
        fs::remove(fs::path(instance.config_directory) / name, trouble);
    remove_folder(instance.config_directory);
}

}  // namespace posthorn::commands
