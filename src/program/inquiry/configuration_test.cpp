#include "inquiry/configuration.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::inquiry;

namespace {

config::Snapshot snapshot_of_text(std::string_view main_cf)
{
    return {config::Site{}, "/etc/postfix", *config::parse_main_cf(main_cf, "/etc/postfix/main.cf"), {}};
}

config::MasterCf lines_of_text(std::string_view text) { return *config::parse_master_cf(text, "/etc/postfix/master.cf"); }

InForce in_force_of(std::string_view main_cf, std::string_view master_cf)
{
    InForce made{.snapshot = snapshot_of_text(main_cf), .lines = {}};
    for (const config::ServiceLine& line : lines_of_text(master_cf).services)
        made.lines.emplace_back(line.key(), line.text());
    return made;
}

}  // namespace

TEST_CASE("pending: parameters that are written otherwise, anew, or no more; what they refer to is another matter")
{
    const InForce in_force = in_force_of("a = 1\nsame = x\nuser = $a\ngone = 3\nempty =\n", "");
    const auto changes = pending_changes(in_force, snapshot_of_text("# more\n\na = 2\nsame = x\nuser = $a\nnew =\n"), lines_of_text(""));
    std::vector<std::string> told;
    for (const Pending& one : changes)
        told.push_back(pending_json(one));
    CHECK(told == std::vector<std::string>{
                      R"({"file": "main.cf", "name": "a", "in_force": "1", "written": "2", "place": "/etc/postfix/main.cf, line 3"})",
                      R"({"file": "main.cf", "name": "empty", "in_force": "", "written": null, "place": null})",
                      R"({"file": "main.cf", "name": "gone", "in_force": "3", "written": null, "place": null})",
                      R"({"file": "main.cf", "name": "new", "in_force": null, "written": "", "place": "/etc/postfix/main.cf, line 6"})",
                  });
    CHECK(pending_text({changes[0], changes[1]}) == "a\n    in force    1\n    written     2  (/etc/postfix/main.cf, line 3)\n"
                                                    "empty\n    in force    (empty)\n    written     not set\n");
}

TEST_CASE("pending: lines of master.cf by their words")
{
    const InForce in_force = in_force_of("", "smtp inet n - n - - smtpd -o a=b\nrelay unix - - n - - smtp\nlmtp unix - - n - - lmtp\n");
    const auto changes = pending_changes(
        in_force, snapshot_of_text(""),
        lines_of_text("smtp   inet n -  n - - smtpd\n   -o a=b\n# of comments nothing is told\nrelay unix - - n - - smtp -o {c = d e}\n"
                      "pickup unix n - n 60 1 pickup\n"));
    std::vector<std::string> told;
    for (const Pending& one : changes)
        told.push_back(pending_json(one));
    CHECK(
        told ==
        std::vector<std::string>{
            R"({"file": "master.cf", "name": "relay/unix", "in_force": "relay unix - - n - - smtp", "written": "relay unix - - n - - smtp -o {c = d e}", )"
            R"("place": "/etc/postfix/master.cf, line 4"})",
            R"({"file": "master.cf", "name": "pickup/unix", "in_force": null, "written": "pickup unix n - n 60 1 pickup", )"
            R"("place": "/etc/postfix/master.cf, line 5"})",
            R"({"file": "master.cf", "name": "lmtp/unix", "in_force": "lmtp unix - - n - - lmtp", "written": null, "place": null})",
        });
    CHECK(pending_text({changes[2]}) == "lmtp/unix (master.cf)\n    in force    lmtp unix - - n - - lmtp\n    written     no such line\n");
}
