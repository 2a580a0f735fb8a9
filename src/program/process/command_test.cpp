#include "process/command.hpp"

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

using namespace posthorn;
using namespace posthorn::process;

namespace {

struct Run {
    std::string said;
    int status = 0;
    std::optional<Error> trouble;
};

/// Runs to its end; what it wrote to the socket that is all three of its descriptors.
Run run(Command command)
{
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const Fd ours(ends[0]);
    Fd theirs(ends[1]);
    command.input = command.output = command.error = theirs.get();
    auto running = start_command(command);
    REQUIRE(running);
    theirs.reset();
    Run run;
    char text[4096];
    for (ssize_t count; (count = ::read(ours.get(), text, sizeof text)) > 0;)
        run.said.append(text, static_cast<std::size_t>(count));
    pollfd ended{running->process.get(), POLLIN, 0};
    REQUIRE(::poll(&ended, 1, 10'000) == 1);
    REQUIRE(::waitpid(running->pid, &run.status, 0) == running->pid);
    run.trouble = execution_error(command, *running);
    return run;
}

Command shell(std::string script)
{
    Command command;
    command.program = "/bin/sh";
    command.words = {"sh", "-c", std::move(script)};
    return command;
}

}  // namespace

TEST_CASE("command: it has the words and the environment that were given, and no other descriptor")
{
    Command command = shell("echo \"$0 $1 $NAME\"; ls /proc/self/fd | wc -l");
    command.words = {"sh", "-c", command.words[2], "zero", "with space"};
    command.environment = {"NAME=value", "PATH=/usr/bin:/bin"};
    const Run result = run(command);
    CHECK(result.said == "zero with space value\n4\n");            // 0, 1, 2, and the folder that ls reads
    CHECK(outcome_of(result.status).empty());
    CHECK_FALSE(result.trouble);
}

TEST_CASE("command: exit status and signal are told, and signals are not ignored because the starter ignores them")
{
    std::signal(SIGPIPE, SIG_IGN);
    CHECK(outcome_of(run(shell("exit 3")).status) == "exit status 3");
    CHECK(outcome_of(run(shell("kill -PIPE $$")).status) == "killed by signal 13");
}

TEST_CASE("command: what keeps it from being executed is told")
{
    Command command;
    command.program = "/nonexistent/program";
    command.words = {"program"};
    const Run result = run(command);
    REQUIRE(result.trouble);
    CHECK(result.trouble->text() == "execute /nonexistent/program: No such file or directory");
    CHECK(outcome_of(result.status) == "exit status 127");
}

TEST_CASE("command: its end is the end of what it started")
{
    Command command = shell("/bin/sleep 1000 & echo $!; wait");
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const Fd ours(ends[0]);
    Fd theirs(ends[1]);
    command.input = command.output = command.error = theirs.get();
    auto running = start_command(command);
    REQUIRE(running);
    theirs.reset();
    char text[32]{};
    REQUIRE(::read(ours.get(), text, sizeof text - 1) > 0);
    end_command(*running);
    int status = 0;
    REQUIRE(::waitpid(running->pid, &status, 0) == running->pid);
    CHECK(outcome_of(status) == "killed by signal 9");
    CHECK(::read(ours.get(), text, 1) == 0);                       // the grandchild held it as well
}

TEST_CASE("command: as another user it has that user, that group alone, and no way back" * doctest::skip(::geteuid() != 0))
{
    Command command = shell("grep -E '^(Uid|Gid|Groups|CapPrm|CapEff):' /proc/self/status | tr -s '\\t ' ' '");
    command.user = RunAs{65534, 65533};
    command.environment = {"PATH=/usr/bin:/bin"};
    const Run result = run(command);
    CHECK(result.said ==
          "Uid: 65534 65534 65534 65534\nGid: 65533 65533 65533 65533\nGroups: 65533 \nCapPrm: 0000000000000000\nCapEff: 0000000000000000\n");
}

TEST_CASE("command: behind another root folder it sees what is in it, its directory and its program among that" * doctest::skip(::geteuid() != 0))
{
    // On systems whose /bin and /lib are links into /usr, that is a root folder with all that a shell needs.
    if (::access("/usr/lib64", F_OK) != 0 || ::access("/usr/bin/sh", X_OK) != 0)
        return;
    Command command = shell("pwd; test -e /usr || echo inside; test -e /bin && echo here");
    command.root = "/usr";
    command.user = RunAs{65534, 65533};
    CHECK(run(command).said == "/\ninside\nhere\n");
    command.directory = "/share";
    CHECK(run(command).said == "/share\ninside\nhere\n");
    command.directory = "/usr";
    CHECK(run(command).trouble->text() == "change to the directory /usr: No such file or directory");
    command.directory.clear();
    command.root = "/nonexistent";
    CHECK(run(command).trouble->text() == "change the root folder to /nonexistent: No such file or directory");
}
