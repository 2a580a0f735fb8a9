#include "commands/letters.hpp"
#include "manual/pages.hpp"
#include "submit/sendmail_options.hpp"
#include "tester/finger.hpp"
#include "tools/postconf_options.hpp"
#include "tools/postmap.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>

using namespace posthorn;

namespace {

/// Of "+c:Dv": c D v.
std::set<char> of_getopt(std::string_view letters)
{
    std::set<char> found(letters.begin(), letters.end());
    found.erase('+');
    found.erase(':');
    return found;
}

/// Of "-A file, -F file": A F; of "-qIid, -qRsite": q.
std::set<char> of_page(const manual::Page& page)
{
    std::set<char> found;
    for (const manual::Option& option : page.options)
        for (std::size_t at = 0; at != option.form.npos; at = option.form.find(", -", at)) {
            if (at != 0)
                at += 2;
            REQUIRE(option.form.substr(at).size() >= 2);
            REQUIRE(option.form[at] == '-');
            found.insert(option.form[++at]);
        }
    return found;
}

}  // namespace

TEST_CASE("manual: the page of a command has the options that the command has, all of them and no other")
{
    const std::string postconf = std::string(tools::postconf_flags).append(tools::postconf_operands);
    const std::pair<std::string_view, std::string_view> programs[] = {{"postfix", commands::postfix_letters},
                                                                      {"postmulti", commands::postmulti_letters},
                                                                      {"postqueue", commands::postqueue_letters},
                                                                      {"postsuper", commands::postsuper_letters},
                                                                      {"postcat", commands::postcat_letters},
                                                                      {"postlog", commands::postlog_letters},
                                                                      {"postkick", commands::postkick_letters},
                                                                      {"postlock", commands::postlock_letters},
                                                                      {"postdrop", commands::postdrop_letters},
                                                                      {"qshape", commands::qshape_letters},
                                                                      {"postmap", tools::postmap_letters},
                                                                      {"postalias", tools::postalias_letters},
                                                                      {"postconf", postconf},
                                                                      {"posttls-finger", tester::finger_letters},
                                                                      {"sendmail", submit::sendmail_letters}};
    for (const auto& [name, letters] : programs) {
        CAPTURE(name);
        const auto page = std::ranges::find(manual::command_pages(), name, &manual::Page::name);
        REQUIRE(page != manual::command_pages().end());
        const std::set<char> asked = of_getopt(letters), told = of_page(*page);
        CHECK(std::string(asked.begin(), asked.end()) == std::string(told.begin(), told.end()));
    }
}
