// commands/drop_program.hpp: postdrop at the other end of a pipe: how a program without rights of its own hands a message in.
#pragma once

#include "base/fd.hpp"

#include <sys/types.h>

#include <string>
#include <string_view>

namespace posthorn::commands {

class DropProgram {
public:
    /// Starts it. Throws Failure.
    explicit DropProgram(const std::string& config_directory);
    DropProgram(DropProgram&&) = delete;
    /// Broken off: postdrop leaves nothing.
    ~DropProgram();

    /// False: postdrop has ended; its status says why.
    bool write(std::string_view octets);
    /// Its exit status; what went wrong it has said itself.
    int finish();

private:
    Fd write_end_;
    pid_t pid_ = -1;
};

/// authorized_submit_users and its kin, as far as they need no table: names, static:anyone, static:all, "!name". Throws Failure for tables.
bool lists_user(const std::string& list, const char* parameter, const std::string& user);
/// The caller's name, or its number.
std::string user_name();

}  // namespace posthorn::commands
