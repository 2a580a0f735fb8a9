// whatif/log_files.hpp: which files the log of an instance is in, and their text.
// Which    maillog_file and the files beside it that begin with its name and a dot, the oldest first; where the log goes to syslog, the same of /var/log/mail.log.
//          What is compressed is not read, and named. "-" is standard input.
// Errors   there is none; one cannot be opened or read; one that was named is compressed.
#pragma once

#include "config/snapshot.hpp"
#include "whatif/mail_log.hpp"

#include <string>
#include <vector>

namespace posthorn::whatif {

struct LogFiles {
    std::vector<std::string> paths;  // in the order of their time
    std::vector<std::string> unread;  // "PATH: why"
};

Result<LogFiles> log_files(const config::Snapshot& snapshot);
/// The same of this path alone.
Result<LogFiles> log_files_beside(const std::string& path);

Result<void> read_log(const std::string& path, MailLog& log);

}  // namespace posthorn::whatif
