// supervisor/log_target.hpp: where this instance logs, as a descriptor that services inherit.
// maillog_file when set (only under maillog_file_prefixes; /dev/stdout in the foreground only), else syslog. And where it writes its records:
// record_file, by the same rules, else nowhere.
#pragma once

#include "base/error.hpp"
#include "base/fd.hpp"
#include "config/snapshot.hpp"
#include "observe/sinks.hpp"
#include "supervisor/file_access.hpp"

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::supervisor {

class LogTarget {
public:
    /// Errors name the parameter and its value.
    static Result<LogTarget> open(const config::Snapshot& snapshot, bool foreground);
    /// Without a record_file its descriptor is none. The file is the owner's, where we are root: the process that posts records reads it.
    static Result<LogTarget> open_records(const config::Snapshot& snapshot, bool foreground, uid_t owner);
    /// True when the file was renamed away or syslogd made a new socket: descriptor() is then a new one.
    bool refresh();
    int descriptor() const { return file_.get(); }
    Fd duplicate() const;
    observe::LogForm form() const { return form_; }

private:
    static Result<LogTarget> open_file(const config::Snapshot& snapshot, std::string_view parameter, bool foreground, std::optional<uid_t> owner);
    Fd open_again() const;

    std::string path_;
    observe::LogForm form_ = observe::LogForm::syslog;
    mode_t mode_ = 0600;
    std::optional<uid_t> owner_;
    FileIdentity identity_;
    Fd file_;
};

/// The log of a command (postfix, sendmail, postlog): the same target, as far as its user may write there.
std::shared_ptr<observe::Sink> command_sink(const config::Snapshot& snapshot);

}  // namespace posthorn::supervisor
