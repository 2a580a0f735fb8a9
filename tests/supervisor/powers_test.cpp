// As root, in a build without sanitizers: what each service can still do after confine(). Exits 77 (skipped) otherwise.
#include "instance.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <pwd.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

using posthorn::house::Instance;

namespace {

std::string of_status(pid_t pid, std::string_view name)
{
    std::ifstream file(fmt::format("/proc/{}/status", pid));
    for (std::string line; std::getline(file, line);)
        if (line.starts_with(name)) {
            std::istringstream words(line.substr(name.size() + 1));
            std::string all, word;
            while (words >> word)
                all += (all.empty() ? "" : " ") + word;
            return all;
        }
    return "?";
}

bool can_be_shown()
{
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    return false;
#endif
#endif
    return ::geteuid() == 0;
}

}  // namespace

TEST_CASE("powers: every service runs as mail_owner, without capabilities, with NoNewPrivs and an active filter" * doctest::skip(!can_be_shown()))
{
    Instance instance;
    instance.master_cf("127.0.0.1:0 inet n - n - - smtpd\nsmtp unix - - n - - smtp\nlmtp unix - - n - - lmtp\n");
    instance.start();
    REQUIRE_MESSAGE(instance.logged("confined: ", 6), (instance.said() + instance.log()));
    const passwd* nobody = ::getpwnam("nobody");
    REQUIRE(nobody);
    const std::string uid = std::to_string(nobody->pw_uid);
    for (const char* program : {"smtpd", "qmgr", "resolve", "memory", "smtp", "lmtp"}) {
        CAPTURE(program);
        const auto processes = instance.processes(program);
        REQUIRE_FALSE(processes.empty());
        const pid_t pid = processes.front();
        CHECK(of_status(pid, "Uid:") == fmt::format("{0} {0} {0} {0}", uid));
        CHECK(of_status(pid, "Gid:") == fmt::format("{0} {0} {0} {0}", nobody->pw_gid));
        CHECK(of_status(pid, "Groups:") == "");
        for (const char* set : {"CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"})
            CHECK(of_status(pid, set) == "0000000000000000");
        CHECK(of_status(pid, "NoNewPrivs:") == "1");
        CHECK(of_status(pid, "Seccomp:") == "2");
    }
}

TEST_CASE("powers: execve, fork, a file outside, setuid, chroot, ptrace and signals to others fail in every service" * doctest::skip(!can_be_shown()))
{
    Instance instance;
    instance.start();
    REQUIRE_MESSAGE(instance.logged("confined: ", 4), (instance.said() + instance.log()));
    for (const char* program : {"qmgr", "resolve", "memory"}) {
        CAPTURE(program);
        CHECK(instance.ask(program, "status x") ==
              fmt::format("uid={0} euid={0} gid={1}", ::getpwnam("nobody")->pw_uid, ::getpwnam("nobody")->pw_gid));
        CHECK(instance.ask(program, "execve x") == "Operation not permitted");
        CHECK(instance.ask(program, "fork x") == "Operation not permitted");
        CHECK(instance.ask(program, "setuid x") == "Operation not permitted");
        CHECK(instance.ask(program, "chroot x") == "Operation not permitted");
        CHECK(instance.ask(program, fmt::format("ptrace {}", instance.master())) == "Operation not permitted");
        CHECK(instance.ask(program, fmt::format("kill {}", instance.master())) == "Operation not permitted");
        CHECK(instance.ask(program, "dumpable x") == "Operation not permitted");
        CHECK(instance.ask(program, "raw x") == "Operation not permitted");
        // Anyone on this machine may read it; a service may not.
        const std::string opened = instance.ask(program, "open /etc/passwd");
        CHECK_MESSAGE((opened == "Permission denied" || opened == "Operation not permitted" || opened == "No such file or directory"), opened);
        const std::string made = instance.ask(program, "create /tmp/posthorn-power");
        CHECK_MESSAGE((made == "Permission denied" || made == "Operation not permitted" || made == "No such file or directory"), made);
    }
}

TEST_CASE("powers: what a service needs it can do" * doctest::skip(!can_be_shown()))
{
    Instance instance;
    instance.start();
    REQUIRE_MESSAGE(instance.logged("confined: ", 4), (instance.said() + instance.log()));
    CHECK(instance.ask("qmgr", "create incoming/here") == "done");
    CHECK(instance.ask("qmgr", "open incoming/here") == "done");
    CHECK(instance.ask("qmgr", "inet x") == "Operation not permitted");
    CHECK(instance.ask("resolve", "create spool/incoming/there") == "done");
    CHECK(instance.ask("resolve", "create hold/there") == "Permission denied");
    CHECK(instance.ask("resolve", "inet x") == "done");
    CHECK(instance.ask("memory", "create " + instance.path("data/peers")) == "done");
    CHECK(instance.ask("memory", "create incoming/elsewhere") == "Permission denied");
}
