#include "supervisor/log_target.hpp"

#include "base/strings.hpp"
#include "supervisor/params.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

namespace posthorn::supervisor {

namespace {
constexpr std::string_view standard_output = "/dev/stdout";
constexpr std::string_view syslog_socket = "/dev/log";

Fd open_log(const std::string& path, mode_t mode) { return Fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, mode)); }
}  // namespace

Result<LogTarget> LogTarget::open(const config::Snapshot& snapshot, bool foreground)
{
    if (!snapshot.text("maillog_file").empty())
        return open_file(snapshot, "maillog_file", foreground, {});
    LogTarget target;
    target.path_ = syslog_socket;
    target.file_ = observe::connect_syslog(target.path_);
    target.identity_ = identity_of(target.path_);
    return target;                                                // without a syslogd: lines are lost until there is one
}

Result<LogTarget> LogTarget::open_records(const config::Snapshot& snapshot, bool foreground, uid_t owner)
{
    LogTarget target;
    if (!snapshot.get(record_file).empty()) {
        TRY(target, open_file(snapshot, record_file.name, foreground, owner));
    }
    target.form_ = observe::LogForm::record;
    return target;
}

Result<LogTarget> LogTarget::open_file(const config::Snapshot& snapshot, std::string_view parameter, bool foreground, std::optional<uid_t> owner)
{
    LogTarget target;
    target.path_ = snapshot.text(parameter);
    target.form_ = observe::LogForm::file;
    target.owner_ = owner;
    const std::string prefixes = snapshot.text("maillog_file_prefixes");
    bool allowed = false;
    for (const std::string_view prefix : split(prefixes, ", \t\r\n"))
        allowed = allowed || target.path_ == prefix || target.path_.starts_with(std::string(prefix) + (prefix.ends_with('/') ? "" : "/"));
    if (!allowed)
        return Error{fmt::format("{} \"{}\" does not match maillog_file_prefixes: {}", parameter, target.path_, prefixes)};
    if (target.path_ == standard_output) {
        if (!foreground)
            return Error{fmt::format("{} = /dev/stdout needs `postfix start-fg`", parameter)};
        target.file_ = Fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
        return target;
    }
    const std::string mode = snapshot.text("maillog_file_permissions");
    unsigned bits = 0;
    if (std::from_chars(mode.data(), mode.data() + mode.size(), bits, 8).ptr != mode.data() + mode.size() || bits > 0666)
        return Error{fmt::format("bad maillog_file_permissions value: {}", mode)};
    target.mode_ = mode.empty() ? 0600 : bits;
    target.file_ = target.open_again();
    if (!target.file_)
        return system_error(fmt::format("open {} {}", parameter, target.path_), errno);
    target.identity_ = identity_of(target.path_);
    return target;
}

Fd LogTarget::open_again() const
{
    Fd file = open_log(path_, mode_);
    if (file && owner_ && ::geteuid() == 0 && ::fchown(file.get(), *owner_, static_cast<gid_t>(-1)) != 0)
        file.reset();
    return file;
}

bool LogTarget::refresh()
{
    if (path_.empty() || path_ == standard_output)
        return false;
    const FileIdentity now = identity_of(path_);
    if (now.there && now.inode == identity_.inode && now.device == identity_.device && file_)
        return false;
    Fd again = form_ == observe::LogForm::syslog ? observe::connect_syslog(path_) : open_again();
    if (!again)
        return false;                                              // a file that cannot be made: the old one goes on
    file_ = std::move(again);
    identity_ = identity_of(path_);
    return true;
}

Fd LogTarget::duplicate() const { return file_ ? Fd(::fcntl(file_.get(), F_DUPFD_CLOEXEC, 3)) : Fd(); }

std::shared_ptr<observe::Sink> command_sink(const config::Snapshot& snapshot)
{
    try {
        if (auto target = LogTarget::open(snapshot, true))
            return observe::descriptor_sink(target->duplicate(), target->form());
    } catch (const config::BadValue&) {
        // A command goes on without a log; what is wrong with the configuration it says on standard error.
    }
    return observe::descriptor_sink(Fd(), observe::LogForm::file);
}

}  // namespace posthorn::supervisor
