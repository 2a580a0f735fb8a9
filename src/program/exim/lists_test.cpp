#include "exim/key_file.hpp"
#include "exim/lists.hpp"
#include "exim/pattern_set.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>

using namespace posthorn;
using namespace posthorn::exim;

namespace {

using Items = std::vector<std::string>;

Known some_known()
{
    Known known;
    known.variables = {{"primary_hostname", "Me.test"}, {"qualify_domain", "d.test"}, {"nothing", ""}};
    known.exists = [](const std::string& path) { return path == "/there"; };
    known.read = [](const std::string& path) -> Result<std::string> {
        return path == "/there" ? Result<std::string>("a: 1:two::four\n*: rest\n") : Result<std::string>(Error{"none"});
    };
    known.environment = [](const std::string& name) { return name == "A" ? std::optional<std::string>("b") : std::nullopt; };
    return known;
}

std::string answer(std::string_view text)
{
    const Known known = some_known();
    const Outcome outcome = evaluate(text, known);
    return outcome.kind == Outcome::Kind::known ? "= " + outcome.text : outcome.kind == Outcome::Kind::failed ? "failed" : "? " + outcome.text;
}

struct Files {
    std::map<std::string, std::string> texts;
    Machine machine() const
    {
        Machine machine;
        machine.read = [this](const std::string& path) -> Result<std::string> {
            const auto found = texts.find(path);
            return found == texts.end() ? Result<std::string>(Error{"open " + path + ": No such file or directory"}) : found->second;
        };
        machine.folder = [](const std::string& path) { return path == "/dir" ? Items{"one.test", "two.test"} : Items{}; };
        return machine;
    }
};

}  // namespace

TEST_CASE("lists: separators, doubled ones, and what is empty at the end")
{
    CHECK(split_list("a : b:c") == Items{"a", "b", "c"});
    CHECK(split_list("127.0.0.1 : ::::1") == Items{"127.0.0.1", "::1"});
    CHECK(split_list("127.0.0.1::::1") == Items{"127.0.0.1::1"});
    CHECK(split_list("<; 127.0.0.1 ; ::1") == Items{"127.0.0.1", "::1"});
    CHECK(split_list("<\n a \n\n b") == Items{"a", "", "b"});
    CHECK(split_list("a : : b") == Items{"a", "", "b"});
    CHECK(split_list(":") == Items{""});
    CHECK(split_list("a :") == Items{"a"});
    CHECK(split_list("").empty());
    for (const Items& items : {Items{"a", ":b", "c::"}, Items{"<x", "y"}, Items{""}, Items{"a:b", "c;d", "e|f", "g/h", "i%j"}})
        CHECK(split_list(join_list(items)) == items);
}

TEST_CASE("lists: what an item is")
{
    using Kind = ListItem::Kind;
    const auto kind = [](std::string_view item, ListOf what = ListOf::domains) { return classify(item, what).kind; };
    CHECK(kind("*") == Kind::everything);
    CHECK(classify("! *.b.test", ListOf::domains).negated);
    CHECK(classify("*key.ex", ListOf::domains).text == "key.ex");
    CHECK(kind("^a|b") == Kind::regex);
    CHECK(kind("+local") == Kind::named);
    CHECK(kind("/etc/x") == Kind::file);
    CHECK(kind("@") == Kind::self);
    CHECK(kind("@[]") == Kind::self_literal);
    CHECK(kind("@mx_any/ignore=127.0.0.1") == Kind::mail_exchanger);
    CHECK(kind("192.0.2.1") == Kind::text);
    CHECK(classify("192.0.2.77/24", ListOf::hosts).text == "192.0.2.0/24");
    CHECK(classify("2001:db8::1/32", ListOf::hosts).text == "2001:db8::/32");
    CHECK(kind("192.0.2.1/33", ListOf::hosts) == Kind::text);
    CHECK(kind("") == Kind::nothing);
    CHECK(kind("nonsense;/etc/x") == Kind::text);
    const ListItem lookup = classify("partial3-lsearch*;/etc/x", ListOf::domains);
    CHECK(lookup.kind == Kind::lookup);
    CHECK(lookup.lookup.type == "lsearch");
    CHECK(lookup.lookup.partial == 3);
    CHECK(lookup.lookup.options == "*");
    CHECK(lookup.lookup.file == "/etc/x");
    CHECK(classify("net24-lsearch;/f", ListOf::hosts).lookup.options == "net");
    CHECK(classify("*@b.test", ListOf::addresses).text == "*@b.test");
}

TEST_CASE("expansion: what is known now is answered, the rest is named as it is written")
{
    CHECK(answer("a $primary_hostname ${lc:$primary_hostname} ${uc:x}\\n\\N$x\\\\N") == "= a Me.test me.test X\n$x\\");
    CHECK(answer("x${if exists{/there}{yes $qualify_domain}{no}}") == "= xyes d.test");
    CHECK(answer("${if exists {/gone}{/gone}{}}") == "= ");
    CHECK(answer("${if exists{/gone}{partial-lsearch;/gone}fail}") == "failed");
    CHECK(answer("${if !exists{/gone} {a}{b}}") == "= a");
    CHECK(answer("${if and{{exists{/there}}{eq{a}{b}}}{a}{b}}") == "= b");
    CHECK(answer("${if or{{eq{$domain}{x}}{exists{/there}}}{a}{b}}") == "= a");
    CHECK(answer("${if and{{eq{$domain}{x}}{exists{/there}}}{a}{b}}") == "? ${if and{{eq{$domain}{x}}{exists{/there}}}{a}{b}}");
    CHECK(answer("${if and{{match_ip{$sender_host_address}{:@[]}}{<{$local_user_uid}{0}}}{1}{0}}") == "= 0");
    CHECK(answer("${if def:nothing {a}{b}}") == "= b");
    CHECK(answer("a$domain") == "? $domain");
    CHECK(answer("${lookup{x}lsearch{/f}}") == "? ${lookup{x}lsearch{/f}}");
    CHECK(answer("a ${if") == "? a ${if");
    CHECK(answer("$") == "? $");
}

TEST_CASE("expansion: what files and the environment have now")
{
    CHECK(answer("${lookup{A}lsearch{/there}}") == "= 1:two::four");
    CHECK(answer("${lookup{a}lsearch{/there}{<$value>}{no}}") == "= <1:two::four>");
    CHECK(answer("${lookup{b}lsearch{/there}{yes}{no}}") == "= no");
    CHECK(answer("${lookup{b}lsearch*{/there}}") == "= rest");
    CHECK(answer("${lookup{b}lsearch{/there}}") == "= ");
    CHECK(answer("${lookup{b}lsearch{/there}{$value}fail}") == "failed");
    CHECK(answer("${lookup{a}lsearch{/gone}}").starts_with("? ${lookup"));
    CHECK(answer("${lookup{a}cdb{/there}}").starts_with("? ${lookup"));
    CHECK(answer("${lookup{a}lsearch,ret=full{/there}}").starts_with("? ${lookup"));
    CHECK(answer("${lookup{$domain}lsearch{/there}}") == "? $domain");
    CHECK(answer("${extract{2}{:}{${lookup{a}lsearch{/there}}}}") == "= two");
    CHECK(answer("${extract{3}{:}{a:b::d}{<$value>}{none}}") == "= <>");
    CHECK(answer("${extract{5}{:}{a:b::d}{<$value>}{none}}") == "= none");
    CHECK(answer("${extract{5}{:}{a}}") == "= ");
    CHECK(answer("${extract{1}{:}{}}") == "= ");
    CHECK(answer("${extract{2}{;:}{a:b;c}}") == "= b");
    CHECK(answer("${extract{name}{name=x}}").starts_with("? ${extract"));
    CHECK(answer("${env{A}{$value}{c}}${env{B}{$value}{c}}") == "= bc");
    CHECK(answer("${env{B}{$value} fail}") == "failed");
    CHECK(answer("${readfile{/there}{;}}") == "= a: 1:two::four;*: rest;");
    CHECK(answer("${readfile{/gone}{;}}").starts_with("? ${readfile"));
    CHECK(answer("${if >{3}{2}{yes}{no}}${if <={3}{2}{yes}{no}}${if ={2}{2}}") == "= yesnotrue");
    CHECK(answer("${if >{$x}{2}{yes}{no}}").starts_with("? ${if"));
}

TEST_CASE("expansion: conditions are taken apart, and turned round where yes is no")
{
    const Known known = some_known();
    const auto asked = as_question("${if !match{$x}{\\N^a{2}\\N}{no}{yes}}", known);
    REQUIRE(asked);
    CHECK(asked->word == "match");
    CHECK_FALSE(asked->negated);
    CHECK(asked->arguments == Items{"$x", "\\N^a{2}\\N"});
    REQUIRE(as_question("${if def:sender_helo_name}", known));
    CHECK(as_question("${if def:sender_helo_name}", known)->arguments == Items{"sender_helo_name"});
    CHECK(as_question("${if eq{$x}{}{1}}", known));
    for (const char* text : {"${if eq{$x}{}{1}{1}}", "${if eq{$x}{}{$y}}", "a${if eq{$x}{}}", "$x", "${if", "${if !}", "${if eq{$x}{}{}{}{}}"})
        CHECK_FALSE(as_question(text, known));
    CHECK_FALSE(as_condition(""));
    CHECK_FALSE(as_condition("eq{a}{b"));
    CHECK_FALSE(as_condition("def:a b"));
}

TEST_CASE("expansion: lookups are taken apart")
{
    const auto one = as_lookup("${lookup{$domain}partial-lsearch{/etc/hubs}}");
    REQUIRE(one);
    CHECK(one->key == "$domain");
    CHECK(one->partial == 2);
    CHECK(one->found == "$value");
    CHECK_FALSE(one->fails);
    const auto other = as_lookup("${lookup {${lc:$local_part}} lsearch* {/etc/a{b}} {$value}fail}");
    REQUIRE(other);
    CHECK(other->key == "${lc:$local_part}");
    CHECK(other->options == "*");
    CHECK(other->file == "/etc/a{b}");
    CHECK(other->fails);
    const auto query = as_lookup("${lookup mysql{select '}' from {x}}{$value}{none}}");
    CHECK_FALSE(query);                                            // its braces do not fit
    CHECK(as_lookup("${lookup pgsql{select a}{$value}{none}}")->otherwise == "none");
    CHECK_FALSE(as_lookup("x ${lookup{a}lsearch{/f}}"));
    CHECK_FALSE(as_lookup("${lookup{a}nonsense{/f}}"));
}

TEST_CASE("key file: quoted keys, continued values, the first of two, comments")
{
    std::string shown;
    for (const KeyEntry& entry : read_key_file("# x\na: b, c\n  d\n\n\"x y\":z\nA: again\n   and its rest\n*.b.test  host\nempty\n: none\n"))
        shown += fmt::format("{}={}@{};", entry.key, entry.value, entry.line);
    CHECK(shown == "a=b, c d@2;x y=z@5;*.b.test=host@8;empty=@9;");
    CHECK(read_list_file("a # b\n#c\nx#y\n", false) == Items{"a", "x"});
    CHECK(read_list_file("a # b\n#c\nx#y\n", true) == Items{"a", "x#y"});
    CHECK(split_aliases("a, \"|cmd a,b\" , :fail: no, never") == Items{"a", "\"|cmd a,b\"", ":fail: no, never"});
    CHECK(split_aliases("a\n# c\nb,,") == Items{"a", "b"});
}

TEST_CASE("pattern set: named lists and files are read, order and exclusions stay, what is not known is said")
{
    Configuration tree;
    tree.lists = {{.kind = NamedList::Kind::domains, .name = "local", .value = "@ : b.test"},
                  {.kind = NamedList::Kind::domains, .name = "less", .value = "!x.b.test : *.b.test"},
                  {.kind = NamedList::Kind::domains, .name = "loop", .value = "+loop"}};
    const Files files{{{"/doms", "one.test # c\n!two.test\n*.three.test\n"}, {"/keys", "*.k.test: 1\nplain: 2\n"}}};
    const Machine machine = files.machine();
    const Known known = some_known();
    const SetReader sets(tree, machine, known);
    const auto domains = [&](std::string_view list) { return sets.read(list, ListOf::domains); };
    CHECK(domains("+local").matches("me.TEST"));
    CHECK_FALSE(domains("! +local").matches("b.test"));
    CHECK(domains("! +local").matches("other.test"));
    CHECK(domains("+less").matches("y.b.test"));
    CHECK_FALSE(domains("+less").matches("x.b.test"));
    CHECK(domains("!+less").matches("x.b.test"));
    CHECK(domains("!+local : c.test").matches("c.test"));
    CHECK_FALSE(domains("!+local : c.test").matches("d.test"));
    CHECK(domains("a.test : ! +local").matches("d.test"));
    CHECK_FALSE(domains("a.test : +less").unknown.empty());
    CHECK_FALSE(domains("+loop").unknown.empty());
    CHECK(domains("+gone").unknown == Items{"+gone (there is no such list)"});
    CHECK(domains("/doms").matches("a.three.test"));
    CHECK_FALSE(domains("/doms : *").matches("two.test"));
    CHECK(domains("dsearch;/dir").matches("two.test"));
    CHECK(domains("partial-lsearch;/keys").matches("k.test"));
    CHECK(domains("partial-lsearch;/keys").matches("a.k.test"));
    CHECK_FALSE(domains("lsearch;/keys").matches("a.k.test"));
    CHECK(domains("lsearch;/gone").unknown == Items{"lsearch;/gone (open /gone: No such file or directory)"});
    CHECK(domains("${if exists{/gone}{x}fail}").is_empty());
    CHECK(domains("").is_empty());
    CHECK(domains("*").is_everything());
    CHECK(domains("! none.test").matches("x.test"));
    CHECK(domains("a.test : @mx_any").unknown == Items{"@mx_any"});
    CHECK(sets.read("localhost", ListOf::hosts).rules.at(1).text == "::1");
    CHECK(sets.read(":", ListOf::hosts).is_empty());
    CHECK_FALSE(sets.read(":", ListOf::addresses).is_empty());
}

TEST_CASE("pattern set: rules over whole addresses, with local parts in quotes where they are no dot-atom")
{
    Configuration tree;
    tree.lists = {{.kind = NamedList::Kind::domains, .name = "local", .value = "b.test : *.c.test"}};
    const Files files;
    const Machine machine = files.machine();
    const Known known = some_known();
    const SetReader sets(tree, machine, known);
    const auto rules = [&](std::string_view list, ListOf what, Subject subject) {
        const auto found = as_address_rules(sets.read(list, what), subject);
        std::string shown;
        for (const AddressRule& rule : found ? *found : std::vector<AddressRule>{{"none"}})
            shown += (rule.negated ? "!" : "") + rule.pattern + " ";
        return shown;
    };
    CHECK(rules("+local", ListOf::domains, Subject::domain) == R"(@b\.test$ @[^@]*\.c\.test$ )");
    CHECK(rules("!+local", ListOf::domains, Subject::domain) == R"(!@b\.test$ !@[^@]*\.c\.test$ ^ )");
    CHECK(rules("\\N^(a|b)\\.x$\\N", ListOf::domains, Subject::domain) == R"(@(?=[^@]*$)(a|b)\.x$ )");
    CHECK(rules("postmaster : ^[.] : \\N^.*[@%$|]\\N", ListOf::local_parts, Subject::local_part) ==
          R"(^postmaster@[^@]*$ ^"?[.].*@[^@]*$ ^"?.*[@%$|].*@[^@]*$ )");
    CHECK(rules("\\N^a$\\N : *x", ListOf::local_parts, Subject::local_part) == R"(^"?a"?@[^@]*$ x"?@[^@]*$ )");
    CHECK(rules("^a|b", ListOf::local_parts, Subject::local_part) == "none ");
    CHECK(rules(": d.test : u@*.d.test : *@+local : \\N^x@\\N", ListOf::addresses, Subject::address) ==
          R"(^<>$ @d\.test$ ^u@[^@]*\.d\.test$ @b\.test$ @[^@]*\.c\.test$ ^x@ )");
    CHECK(rules("^x@+gone", ListOf::addresses, Subject::address) != "none ");
    CHECK(rules("u@+gone", ListOf::addresses, Subject::address) == "none ");
}
