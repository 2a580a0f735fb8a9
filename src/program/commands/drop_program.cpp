#include "commands/drop_program.hpp"

#include "base/error.hpp"
#include "base/strings.hpp"
#include "commands/command.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace posthorn::commands {

DropProgram::DropProgram(const std::string& config_directory)
{
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        throw Failure(fmt::format("pipe: {}", errno_text(errno)), submit::exit_os);
    const Fd read_end(ends[0]);
    write_end_ = Fd(ends[1]);
    const std::string program = executable_folder() + "postdrop";
    pid_ = ::fork();
    if (pid_ < 0)
        throw Failure(fmt::format("fork: {}", errno_text(errno)), submit::exit_temporary);
    if (pid_ == 0) {
        ::dup2(read_end.get(), STDIN_FILENO);
        ::execl(program.c_str(), "postdrop", "-c", config_directory.c_str(), static_cast<char*>(nullptr));
        ::_exit(submit::exit_os);
    }
}

DropProgram::~DropProgram()
{
    if (pid_ > 0)
        (void)finish();
}

bool DropProgram::write(std::string_view octets)
{
    while (!octets.empty()) {
        const ssize_t count = ::write(write_end_.get(), octets.data(), octets.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        octets.remove_prefix(static_cast<std::size_t>(count));
    }
    return true;
}

int DropProgram::finish()
{
    write_end_.reset();
    int status = 0;
    const pid_t pid = std::exchange(pid_, -1);
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : submit::exit_software;
}

bool lists_user(const std::string& list, const char* parameter, const std::string& user)
{
    for (std::string_view word : split(list, ", \t\r\n")) {
        const bool negated = word.starts_with('!');
        word.remove_prefix(negated ? 1 : 0);
        if (word == user || word.starts_with("static:"))
            return !negated;
        if (word.find(':') != word.npos || word.starts_with('/'))
            throw Failure(fmt::format("{}: \"{}\": tables are not looked at here; name the users", parameter, word), submit::exit_config);
    }
    return false;
}

std::string user_name()
{
    const passwd* account = ::getpwuid(::getuid());
    return account ? account->pw_name : fmt::format("{}", ::getuid());
}

}  // namespace posthorn::commands
