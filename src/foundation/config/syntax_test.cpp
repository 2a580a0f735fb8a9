#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

#include "config/edit.hpp"
#include "config/expand.hpp"
#include "config/list.hpp"
#include "config/main_cf.hpp"
#include "config/master_cf.hpp"
#include "config/paths.hpp"
#include "config/units.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace posthorn;
using namespace posthorn::config;
using namespace std::chrono_literals;

namespace {

const std::map<std::string, std::string, std::less<>> names{{"a", "1"},
                                                            {"b", "$c"},
                                                            {"c", ""},
                                                            {"level", "3.6"},
                                                            {"x", "$y"},
                                                            {"y", "${x}"},
                                                            {"long", "$a$a$a"},
                                                            {"domain", "b\xc3\xbc"
                                                                       "cher.test"}};

std::string expanded(std::string_view text)
{
    const auto result = expand(text, [](std::string_view name) -> std::optional<std::string_view> {
        const auto found = names.find(name);
        return found == names.end() ? std::nullopt : std::optional<std::string_view>{found->second};
    });
    return result ? *result : "error: " + result.error().what();
}

std::string error_of_main(std::string_view text)
{
    const auto result = parse_main_cf(text, "main.cf");
    return result ? "" : result.error().what();
}

std::string error_of_master(std::string_view text)
{
    const auto result = parse_master_cf(text, "master.cf");
    return result ? "" : result.error().what();
}

struct Folder {
    Folder() { REQUIRE(::mkdtemp(path.data())); }
    ~Folder() { (void)std::system(("rm -rf '" + path + "'").c_str()); }
    std::string path = "/tmp/config-test-XXXXXX";
};

std::string contents(const std::string& path)
{
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

}  // namespace

TEST_CASE("a time has one unit or the parameter's own; what is behind the unit's letter is not read")
{
    CHECK(parse_time("300s", Unit::days) == 300s);
    CHECK(parse_time("5", Unit::days) == 5 * 86400s);
    CHECK(parse_time("2W", Unit::seconds) == 2 * 604800s);
    CHECK(parse_time("1m", Unit::seconds) == 60s);
    CHECK(parse_time("1h", Unit::seconds) == 3600s);
    CHECK(parse_time("-1", Unit::seconds) == -1s);
    CHECK(parse_time("10min", Unit::seconds) == 600s);
    CHECK(parse_time("1Hour", Unit::seconds) == 3600s);
    CHECK(parse_time("5mh", Unit::seconds) == 300s);              // postscreen_dnsbl_ttl = 5m, in the default of postscreen_dnsbl_max_ttl
    CHECK(parse_time("60s s", Unit::days) == 60s);
    CHECK(parse_whole_time("90", Unit::minutes) == 90min);
    CHECK(parse_whole_time("1h", Unit::seconds) == 1h);
    for (const auto more : {"1h30m", "10min", "60s s", "5mh", "5x", "", "5 s"})
        CHECK_FALSE(parse_whole_time(more, Unit::seconds));
    for (const auto bad : {"", "s", "5x", "5 s", "1.5h", "99999999999999999999", "9223372036854775807w", "0x10", "--5"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_time(bad, Unit::seconds));
    }
}

TEST_CASE("each form of an expression is replaced as Postfix replaces it")
{
    CHECK(expanded("$a-${a}-$(a).$a_x") == "1-1-1.");
    CHECK(expanded("$$a $long") == "$a 111");
    CHECK(expanded("${a?yes}${a:no}${zz?yes}${zz:no}${c:empty}") == "yesnoempty");
    CHECK(expanded("${a?{y}:{n}}${zz?{y}:{n}}${zz?{y}:n}") == "ynn");
    CHECK(expanded("${b?tested as written}") == "tested as written");
    CHECK(expanded("${a?b?c}") == "b?c");
    CHECK(expanded("${{$a} == {1} ? {eq} : {ne}}${{9}<{10}?{num}:{str}}${{9a}<{10}?{num}:{str}}${{01}=={1}?{1}:{2}}") == "eqnumstr1");
    CHECK(expanded("${{$level} >=level {3.6} ? {new} : {old}}${{3.9} <level {3.10} ? {lt} : {ge}}") == "newlt");
    CHECK(expanded("-${{a }=={a}?{ x }:{n}}-") == "-n-");
    CHECK(expanded("${domain_to_ascii{$domain}}") == "xn--bcher-kva.test");
}

TEST_CASE("a malformed expression is an error that shows where")
{
    CHECK(expanded("a$") == "error: empty macro name: \"a$\"");
    CHECK(expanded("${a") == "error: truncated macro reference: \"${a\"");
    CHECK(expanded("${a-b}") == "error: attribute name syntax error at: \"...a>>>-b\"");
    CHECK(expanded("${a?{x}{y}}") == "error: \":\" expected at: \"...x}>>>{y}\"");
    CHECK(expanded("${a?{x}:{y}z}") == "error: unexpected input at: \"...y}>>>z\"");
    CHECK(expanded("${{a}==1}") == "error: bad operator suffix at: \"...==>>>1\"");
    CHECK(expanded("${{3.z} <level {1}?{x}}") == "error: malformed compatibility level syntax: \"3.z\"");
    CHECK(expanded("$x") == "error: unreasonable macro call nesting: \"y\"");
}

TEST_CASE("a definition that doubles at each level ends in an error, not in memory")
{
    std::map<std::string, std::string, std::less<>> bomb;
    for (int i = 0; i < 60; ++i)
        bomb[fmt::format("v{}", i)] = fmt::format("$v{}$v{}", i + 1, i + 1);
    bomb["v60"] = "0123456789";
    const auto result = expand("$v0", [&](std::string_view name) -> std::optional<std::string_view> { return bomb.find(name)->second; });
    CHECK_FALSE(result);
}

TEST_CASE("main.cf: comments, continuation lines and blanks are read as in Postfix")
{
    const auto file = parse_main_cf("# c\nrelayhost = a\n# c\n  b\n\n \t\n   # d\n\tc\nmyorigin=x # not a comment\nempty =\n", "main.cf");
    REQUIRE(file);
    REQUIRE(file->assignments.size() == 3);
    CHECK(file->assignments[0].value == "a  b\tc");
    CHECK(file->assignments[0].line == 2);
    CHECK(file->assignments[1].value == "x # not a comment");
    CHECK(file->assignments[2].value == "");
    CHECK(parse_main_cf("  a = b\nc = d", "main.cf")->warnings.at(0) == "main.cf: logical line must not start with whitespace: \"  a = b\"");
    CHECK(parse_main_cf("a=1\na=2\n", "main.cf")->warnings.at(0) == "main.cf, line 2: overriding earlier entry: a=1");
    CHECK(parse_main_cf("a=1\na=1\n", "main.cf")->warnings.empty());
}

TEST_CASE("main.cf: an error names file and line")
{
    CHECK(error_of_main("a=1\n\nfoo\n") == "main.cf, line 3: missing '=' after attribute name: \"foo\"");
    CHECK(error_of_main("= x\n") == "main.cf, line 1: missing attribute name: \"= x\"");
    CHECK(error_of_main("a b = x\n") == "main.cf, line 1: missing '=' after attribute name: \"a b = x\"");
}

TEST_CASE("master.cf: columns, options and arguments are taken apart")
{
    const auto file = parse_master_cf("smtp inet n - y 60? 1 smtpd\n  -o { a = b c }\n# comment\n  -o d=e -v {an argument}\n"
                                      "pickup unix - n n 60 0 pickup -D\nx unix-dgram n - - - - postlogd\n",
                                      "master.cf");
    REQUIRE(file);
    const auto& smtp = file->services.at(0);
    CHECK(smtp.key() == "smtp/inet");
    CHECK((smtp.chroot && !smtp.is_private && smtp.unprivileged && smtp.wakeup == 60 && smtp.wakeup_only_if_used));
    CHECK(smtp.process_limit == 1);
    CHECK(smtp.overrides.at(0).value == "b c");
    CHECK(smtp.overrides.at(1).name == "d");
    CHECK(smtp.arguments.back() == "an argument");
    CHECK((smtp.verbose == 1 && smtp.line == 1 && smtp.last_line == 4));
    const auto& pickup = file->services.at(1);
    CHECK((pickup.is_private && !pickup.unprivileged && pickup.process_limit == 0 && pickup.debug));
    CHECK(file->services.at(2).chroot_by_default);
    CHECK_FALSE(file->services.at(2).process_limit);
}

TEST_CASE("master.cf: an entry in one line, whatever its blanks")
{
    const auto parsed = parse_master_cf("smtp   inet  n -\tn - 7 smtpd\n  -o a=b -o { c = d e }\n -v\n  {an argument}\n", "master.cf");
    REQUIRE(parsed);
    CHECK(parsed->services.at(0).text() == "smtp inet n - n - 7 smtpd -o a=b -o {c = d e} -v {an argument}");
}

TEST_CASE("master.cf: an error names file, line and field")
{
    const std::string front = "a unix - - - - - x\n\n";
    CHECK(error_of_master(front + "smtp inet n\n") == "master.cf: line 3: missing \"unprivileged\" field");
    CHECK(error_of_master(front + "smtp foo n - n - - smtpd\n") == "master.cf: line 3: field \"type\": bad value: \"foo\"");
    CHECK(error_of_master(front + "smtp inet - - n - - smtpd\n") == "master.cf: line 3: field \"private\": bad value: \"-\"");
    CHECK(error_of_master(front + "smtp inet n - n 5z - smtpd\n") == "master.cf: line 3: field \"wakeup\": bad value: \"5z\"");
    CHECK(error_of_master(front + "smtp inet n - n - -1 smtpd\n") == "master.cf: line 3: field \"process_limit\": bad value: \"-1\"");
    CHECK(error_of_master(front + "smtp inet n - n - - smtpd -o {a=b}c\n") == "master.cf: line 3: syntax error after '}' in \"{a=b}c\"");
    CHECK(error_of_master(front + "smtp inet n - n - - smtpd -o a\n") ==
          "master.cf: line 3: invalid \"-o a\" option value: missing '=' after attribute name: \"a\"");
    CHECK(parse_master_cf("a unix - - - - - x\na unix - - - - - y\n", "master.cf")->warnings.at(0) ==
          "duplicate master.cf entry for service \"a\" (unix) -- using the last entry");
}

TEST_CASE("a list keeps files, tables, negation and groups as members")
{
    const auto list = parse_list("!192.0.2.0/24, /etc/hosts\thash:/etc/x !!cidr:{a, b} [::1]/128 {one two}");
    REQUIRE(list.size() == 6);
    CHECK((list[0].negated && list[0].kind == ListMember::Kind::text && list[0].text == "192.0.2.0/24"));
    CHECK(list[1].kind == ListMember::Kind::file);
    CHECK(list[2].kind == ListMember::Kind::table);
    CHECK((list[3].text == "cidr:{a, b}" && !list[3].negated));
    CHECK(list[4].kind == ListMember::Kind::text);
    CHECK(list[5].text == "one two");
}

TEST_CASE("editing main.cf replaces every entry of the name and nothing else")
{
    std::vector<std::string> warnings;
    const std::string before = "# c\nrelayhost = a\n  b\n\n# d\n  c\nmydomain=x\n  # kept\nrelayhost=z";
    CHECK(edit_main_cf(before, MainEdit::set, std::array{Assignment{"relayhost", "new", 0}, Assignment{"biff", "no", 0}}, "main.cf", warnings) ==
          "# c\nrelayhost = new\n\n# d\nmydomain=x\n  # kept\nrelayhost = new\nbiff = no\n");
    CHECK(warnings == std::vector<std::string>{"main.cf: multiple entries for \"relayhost\""});
    CHECK(edit_main_cf(before, MainEdit::remove, std::array{Assignment{"relayhost", "", 0}}, "main.cf", warnings) ==
          "# c\n\n# d\nmydomain=x\n  # kept\n");
    CHECK(edit_main_cf(before, MainEdit::comment_out, std::array{Assignment{"relayhost", "", 0}}, "main.cf", warnings) ==
          "# c\n#relayhost = a\n#  b\n\n# d\n#  c\nmydomain=x\n  # kept\n#relayhost=z\n");
}

TEST_CASE("what an edit of main.cf wrote is what is read back")
{
    for (const auto value : {"", "a b", "x=y", "$a # b", "{ a, b }"}) {
        std::vector<std::string> warnings;
        const auto text = edit_main_cf("x=1\n", MainEdit::set, std::array{Assignment{"name", value, 0}}, "main.cf", warnings);
        CHECK(parse_main_cf(text, "main.cf")->assignments.back().value == value);
    }
}

TEST_CASE("a file is replaced whole, with its mode; an edit that fails leaves it and no other file")
{
    const Folder folder;
    const auto path = folder.path + "/main.cf";
    std::ofstream(path) << "a = 1\n";
    REQUIRE(::chmod(path.c_str(), 0640) == 0);
    CHECK(rewrite(path, [](std::string_view old) -> Result<std::string> { return std::string{old} + "b = 2\n"; }));
    CHECK(contents(path) == "a = 1\nb = 2\n");
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0640);
    CHECK_FALSE(rewrite(path, [](std::string_view) -> Result<std::string> { return Error{"no"}; }));
    CHECK(contents(path) == "a = 1\nb = 2\n");
    CHECK(::access((path + ".tmp").c_str(), F_OK) != 0);
    const auto missing = rewrite(folder.path + "/other", [](std::string_view) -> Result<std::string> { return std::string{}; });
    CHECK(missing.error().what().starts_with("open " + folder.path + "/other for reading"));
    CHECK(::access((folder.path + "/other.tmp").c_str(), F_OK) != 0);
}

TEST_CASE("-c comes before MAIL_CONFIG, and that before the directory built in")
{
    ::setenv("MAIL_CONFIG", "/from/environment", 1);
    CHECK(choose_config_directory("/from/option") == "/from/option");
    CHECK(choose_config_directory(std::nullopt) == "/from/environment");
    ::unsetenv("MAIL_CONFIG");
    CHECK(choose_config_directory(std::nullopt) == built_in_config_directory());
    CHECK(is_trusted_directory("/a", "/b, /a", ""));
    CHECK_FALSE(is_trusted_directory("/a", "/b", "/c /ab"));
}
