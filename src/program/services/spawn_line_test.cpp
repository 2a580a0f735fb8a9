#include "services/spawn_line.hpp"

#include <doctest/doctest.h>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

using namespace posthorn;
using namespace posthorn::services;

namespace {
std::string wrong(std::vector<std::string> arguments)
{
    const auto line = parse_spawn_line(arguments);
    return line ? "" : line.error().text();
}
}  // namespace

TEST_CASE("spawn line: user, group, and everything behind argv= is the command's")
{
    const auto line = parse_spawn_line(std::vector<std::string>{"user=nobody:nogroup", "argv=/bin/program", "-o", "user=x", "with space"});
    REQUIRE(line);
    CHECK(line->user == "nobody");
    CHECK(line->group == "nogroup");
    CHECK(line->words == std::vector<std::string>{"/bin/program", "-o", "user=x", "with space"});
}

TEST_CASE("spawn line: what is missing or not known is named")
{
    CHECK(wrong({"argv=/bin/cat"}) == "missing user= attribute");
    CHECK(wrong({"user=nobody"}) == "missing argv= attribute");
    CHECK(wrong({"user=nobody", "argv="}) == "missing argv= attribute");
    CHECK(wrong({"user=", "argv=/bin/cat"}) == "bad user= value: ");
    CHECK(wrong({"user=nobody:", "argv=/bin/cat"}) == "bad user= value: nobody:");
    CHECK(wrong({"flags=q", "user=nobody", "argv=/bin/cat"}) == "unknown attribute: flags=q");
}

TEST_CASE("spawn line: neither root nor the mail system's owner, by user or by group" * doctest::skip(::geteuid() != 0))
{
    const passwd* nobody = ::getpwnam("nobody");
    REQUIRE(nobody);
    const process::RunAs ids{nobody->pw_uid, nobody->pw_gid}, other{nobody->pw_uid + 1, nobody->pw_gid + 1};
    const auto refused = [](SpawnLine line, process::RunAs mail_owner) {
        const auto made = run_as(line, mail_owner, ::geteuid() == 0);
        return made ? "" : made.error().text();
    };
    CHECK(refused({"nobody", "", {}}, other) == "");
    CHECK(refused({"root", "", {}}, other) == "user=root: root privileges are not given to commands");
    CHECK(refused({"nobody", "root", {}}, other) == "user=nobody: root privileges are not given to commands");
    CHECK(refused({"nobody", "", {}}, ids) == "user=nobody: the privileges of the mail system owner are not given to commands");
    CHECK(refused({"nobody", "", {}}, {ids.uid + 1, ids.gid}) == "user=nobody: the privileges of the mail system owner are not given to commands");
    CHECK(refused({"no-such-user", "", {}}, other) == "user=no-such-user: unknown user");
    CHECK(refused({"nobody", "no-such-group", {}}, other) == "user=nobody:no-such-group: unknown group");
}

TEST_CASE("spawn line: a program without a path is looked for where programs are")
{
    CHECK(program_path("/opt/x").value() == "/opt/x");
    CHECK(program_path("sh").value().ends_with("/bin/sh"));
    CHECK(program_path("no-such-program", "/jail").error().text() == "argv=no-such-program: no such program in /jail/usr/bin or /jail/bin");
    CHECK(program_path("no-such-program").error().text() == "argv=no-such-program: no such program in /usr/bin or /bin");
}

TEST_CASE("spawn line: of the environment a command sees what export_environment names")
{
    std::string zone = "TZ=UTC", secret = "SECRET=x", tzx = "TZX=1";
    char* const environment[] = {zone.data(), secret.data(), tzx.data(), nullptr};
    CHECK(exported("TZ MAIL_CONFIG, LANG=C { NAME=a b }", environment) ==
          std::vector<std::string>{"TZ=UTC", "LANG=C", "NAME=a b", "PATH=/usr/bin:/bin"});
    CHECK(exported("PATH=/opt/bin", environment) == std::vector<std::string>{"PATH=/opt/bin"});
}
