#include "exim/configuration.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

using namespace posthorn;
using namespace posthorn::exim;

namespace {

Result<Configuration> read(std::map<std::string, std::string> files)
{
    return read_configuration("/e/main", [files = std::move(files)](const std::string& path) -> Result<std::string> {
        const auto found = files.find(path);
        if (found == files.end())
            return Error{"open " + path + ": No such file or directory"};
        return found->second;
    });
}
Result<Configuration> read(const std::string& text) { return read({{"/e/main", text}}); }

std::string trouble(const std::string& text)
{
    const auto tree = read(text);
    return tree ? "" : tree.error().text();
}

}  // namespace

TEST_CASE("configuration: options, switches, quotes, continued lines and comments between them")
{
    const auto tree = read("# first\n"
                           "primary_hostname = a.test\n"
                           "no_queue_only\nnot_prdr_enable\nsplit_spool_directory\nhide mysql_servers = h/d/u/p\n"
                           "trusted_users = uucp:\\\n   # a comment within\n   mail   \n"
                           "smtp_banner = \"a\\tb \\\"c\\\" \\x41\\101\\\\\"\n"
                           "keep_environment =\n");
    REQUIRE(tree);
    CHECK(read("not_\n")->find("not_") != nullptr);
    CHECK(tree->text("primary_hostname") == "a.test");
    CHECK(tree->text("queue_only") == "false");
    CHECK(tree->text("prdr_enable") == "false");
    CHECK(tree->text("split_spool_directory") == "true");
    CHECK(tree->find("mysql_servers")->hidden);
    CHECK(tree->text("trusted_users") == "uucp:mail");
    CHECK(tree->text("smtp_banner") == "a\tb \"c\" AA\\");
    CHECK(tree->find("keep_environment")->value.empty());
    CHECK(tree->find("trusted_users")->place.text() == "/e/main, line 7");
}

TEST_CASE("configuration: macros are replaced in the order of their definitions, and what they put in only by later ones")
{
    const auto tree =
        read("AA = x\nBB = AA-AA\nCC = BB+\nqualify_domain = CC\nAA == AA and y\nqualify_recipient = AA\nEMPTY =\nEMPTY\nprimary_hostname = zAAz\n");
    REQUIRE(tree);
    CHECK(tree->text("qualify_domain") == "x-x+");
    CHECK(tree->text("qualify_recipient") == "x and y");
    CHECK(tree->text("primary_hostname") == "zx and yz");
    CHECK(trouble("AA = 1\nAA = 2\n") == "/e/main, line 2: macro AA is defined already (\"==\" would define it again)");
    CHECK(trouble("AA == 1\n") == "/e/main, line 1: macro AA is not defined yet, and cannot be defined again");
    CHECK(trouble("AA = 1\nXAAX = 1\n") == "/e/main, line 2: macro XAAX can never be found: its name holds that of AA");
}

TEST_CASE("configuration: conditions nest; an else belongs to what was not taken; built-in macros are absent")
{
    const auto tree = read(
        "AA = 1\n"
        ".ifdef _OPT_MAIN_DSN\nbad = 1\n.elifdef NONE AA\none = 1\n.ifdef NONE\nbad = 2\n.else all else\ntwo = 2\n.endif\n.else\nbad = 3\n.endif\n"
        ".ifndef AA\n.ifdef AA\nbad = 4\n.else\nbad = 5\n.endif\n.elifndef NONE\nthree = 3\n.endif\n");
    REQUIRE(tree);
    CHECK(tree->main.size() == 3);
    CHECK(tree->find("bad") == nullptr);
    CHECK(tree->find("three")->place.line == 21);
    CHECK(read(".ifdef _HAVE_TLS\na = 1\n.endif\n.ifdef _HAVE_TLS_RESUME\nb = 1\n.endif\n")->main.size() == 1);
    CHECK(trouble(".endif\n") == "/e/main, line 1: .endif without .ifdef");
    CHECK(trouble("a = 1\n.ifdef X\n") == "/e/main, line 2: .endif is missing");
}

TEST_CASE("configuration: includes stand where they are named, by a path beside the file, and never without end")
{
    const auto tree = read({{"/e/main", "D = /e\nhosts_lookup = a : \\\n .include \"D/more\"\n.include sub\n.include_if_exists /gone\n"},
                            {"/e/more", "b : \\\n c\n"},
                            {"/e/sub", "primary_hostname = x\n"}});
    REQUIRE_MESSAGE(tree, tree.error().text());
    CHECK(tree->text("hosts_lookup") == "a : b : c");
    CHECK(tree->find("primary_hostname")->place.text() == "/e/sub, line 1");
    CHECK(read({{"/e/main", ".include /e/main\n"}}).error().text() == "/e/main, line 1: more than 20 files include one another");
    CHECK(trouble(".include /gone\n") == "/e/main, line 1: open /gone: No such file or directory");
    CHECK(trouble(".include_if_exists rel\n") == "/e/main, line 1: .include_if_exists: rel is no absolute path");
    CHECK(trouble("A = AAAAAAAAAA\n" + std::string("B = ") + std::string(1000, 'A') + "\nC = " + std::string(1000, 'B') +
                  "\nx = " + std::string(1000, 'C') + "\n") == "/e/main, line 3: longer than 1048576 octets with its macros");
}

TEST_CASE("configuration: named lists, instances, ACLs, retry and rewrite rules")
{
    const auto tree = read("domainlist local = @ : b.test\nhide hostlist_cache nets = <; 192.0.2.0/24 ; ::1\n"
                           "begin acl\n"
                           "CHECK = ^[.]\n"
                           "first:\n  accept hosts = :\n         control = x\n"
                           "  deny message = no : way\n       ! domains = +local\n       local_parts = CHECK\n"
                           "second:\n  accept domains = a\n         endpass\n         verify = recipient\n  warn set acl_m_x = 1\n"
                           "begin routers\nr1:\n  driver = accept\n  no_more\n  transport = t1\nr2:\n driver = dnslookup\n"
                           "begin transports\nt1:\n  driver = smtp\n  hide helo_data = \"x\"\n"
                           "begin retry\n* * F,2h,15m; G,16h,1h,1.5\n\"a b@c\" rcpt_4xx senders=: F,1h,1m\n"
                           "begin rewrite\n*@+local \"${lookup{$1}lsearch{/f}{$value}fail}\" Ffrs\n"
                           "begin authenticators\nplain:\n  driver = plaintext\n");
    REQUIRE_MESSAGE(tree, tree.error().text());
    CHECK(tree->list(NamedList::Kind::domains, "local")->value == "@ : b.test");
    CHECK(tree->list(NamedList::Kind::hosts, "nets")->hidden);
    REQUIRE(tree->acls.size() == 2);
    const Acl& first = tree->acls[0];
    REQUIRE(first.statements.size() == 2);
    CHECK(first.statements[0].conditions[0].name == "hosts");
    CHECK(first.statements[0].conditions[0].value == ":");
    CHECK(first.statements[1].conditions[0].value == "no : way");
    CHECK(first.statements[1].conditions[1].negated);
    CHECK(first.statements[1].conditions[2].value == "^[.]");
    CHECK(tree->acls[1].statements[0].conditions[1].name == "endpass");
    CHECK(tree->acls[1].statements[1].conditions[0].value == "acl_m_x = 1");
    REQUIRE(tree->routers.size() == 2);
    CHECK(tree->routers[0].driver == "accept");
    CHECK(tree->routers[0].text("more") == "false");
    CHECK(tree->routers[0].text("transport") == "t1");
    CHECK(tree->transports[0].options[0].hidden);
    CHECK(tree->retry[1].pattern == "a b@c");
    CHECK(tree->retry[1].senders == ":");
    CHECK(tree->rewrite[0].replacement == "${lookup{$1}lsearch{/f}{$value}fail}");
    CHECK(tree->rewrite[0].flags == "Ffrs");
    CHECK(tree->authenticators[0].driver == "plaintext");
}

TEST_CASE("configuration: what is wrong is named with its line")
{
    CHECK(trouble("begin nothing\n") == "/e/main, line 1: unknown section \"nothing\"");
    CHECK(trouble("x = \"abc\n") == "/e/main, line 1: the quote is not closed");
    CHECK(trouble("x = \"abc\" d\n") == "/e/main, line 1: text behind the closing quote: d");
    CHECK(trouble("x y\n") == "/e/main, line 1: \"=\" is missing behind x");
    CHECK(trouble("begin routers\n driver = x\n") == "/e/main, line 2: \"name:\" is missing before \"driver = x\"");
    CHECK(trouble("begin routers\nr:\n domains = x\n") == "/e/main, line 2: r names no driver");
    CHECK(trouble("begin acl\na:\n hosts = x\n") == "/e/main, line 3: a verb is missing before \"hosts = x\"");
    CHECK(trouble("begin acl\na:\n accept hosts\n") == "/e/main, line 3: \"=\" is missing behind hosts");
    CHECK(trouble("begin retry\n*\n") == "/e/main, line 2: a retry rule needs a pattern, an error and times");
    CHECK(trouble("domainlist x\n") == "/e/main, line 1: domainlist without \"name = list\"");
}
