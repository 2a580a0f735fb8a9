// commands/script.hpp: how postfix(1) and its relatives speak: to the log under their own tag, and to standard error, unless both are the journal.
#pragma once

#include "config/snapshot.hpp"
#include "observe/log.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace posthorn::commands {

class Script {
public:
    /// `name`: "postfix-script"; the tag is SYSLOG_NAME/NAME.
    Script(const config::Snapshot& snapshot, std::string_view name);

    void info(const std::string& text) { say(observe::Level::info, "", text); }
    void warning(const std::string& text) { say(observe::Level::warning, "warning: ", text); }
    void error(const std::string& text) { say(observe::Level::error, "error: ", text); }
    /// Says it; the exit status.
    int fatal(const std::string& text)
    {
        say(observe::Level::fatal, "fatal: ", text);
        return 1;
    }

private:
    void say(observe::Level level, const char* word, const std::string& text);

    std::shared_ptr<observe::Sink> sink_;
    std::string name_;
    observe::Log log_;
    bool log_alone_;
};

}  // namespace posthorn::commands
