#include "deliver/local_words.hpp"
#include "deliver/targets.hpp"

#include <doctest/doctest.h>

using namespace posthorn;
using namespace posthorn::deliver;

namespace {

std::string said(std::string_view text)
{
    const auto targets = parse_targets(text);
    if (!targets)
        return "error: " + targets.error().text();
    std::string made;
    for (const Target& target : *targets)
        made += std::string(1, "a|/i"[static_cast<int>(target.kind)]) + "{" + target.value + "}";
    return made;
}

}  // namespace

TEST_CASE("targets: addresses, commands, files and lists, by their first octets")
{
    CHECK(said("root, a@b.test,Some One <c@d.test>") == "a{root}a{a@b.test}a{c@d.test}");
    CHECK(said("|/bin/x, /var/mail/y, :include:/etc/list") == "|{/bin/x}/{/var/mail/y}i{/etc/list}");
    CHECK(said("\"|/bin/x -a \\\"b, c\\\" $EXTENSION\", \"/tmp/a b\", \":include:/a,b\"") == "|{/bin/x -a \"b, c\" $EXTENSION}/{/tmp/a b}i{/a,b}");
    CHECK(said("| /bin/x -a, :INCLUDE: /etc/list") == "|{/bin/x -a}i{/etc/list}");
    CHECK(said("\\user") == "a{\\user}");
    CHECK(said("\"a b\"@x.test, (a comment, with a comma) d@e.test") == "a{a b@x.test}a{d@e.test}");
}

TEST_CASE("targets: comments, empty lines and continued ones")
{
    CHECK(said("# nobody\n\n  \na@b.test,\n   c@d.test\n#x\ne\n") == "a{a@b.test}a{c@d.test}a{e}");
    CHECK(said("") == "");
    CHECK(said(" , ,\n") == "");
    CHECK(said("a\r\nb\r\n") == "a{a}a{b}");
    CHECK(said("\"|/bin/x -a\nb") != "");                  // an open quote ends with its line
}

TEST_CASE("targets: what is no address is an error, and so is what is too much")
{
    CHECK(said("a@b.test, @@@").starts_with("error: bad address"));
    CHECK(said(":include:etc/list") == "error: :include:etc/list: an absolute path is needed");
    CHECK(said(std::string("a\0b", 3)).starts_with("error: "));
    CHECK(said("\"| \"") == "error: a command without words");
    CHECK(said(std::string(targets_limit + 1, 'a')) == "error: more than 1048576 octets");
    std::string many;
    for (std::size_t count = 0; count <= targets_count; ++count)
        many += "a,";
    CHECK(said(many) == "error: more than 50000 members");
}

TEST_CASE("local words: names in paths, filtered, expanded once, and none where one is missing")
{
    const LocalNames names{{"user", "u"}, {"home", "/home/u"}, {"extension", "a/../b $home;"}, {"recipient_delimiter", "+"}, {"empty", ""}};
    const auto made = [&](std::string_view text) {
        const auto words = expand_names(text, names, "abcdefghijklmnopqrstuvwxyz/.+");
        return !words ? "error" : words->value_or("none");
    };
    CHECK(made("$home/.forward") == "/home/u/.forward");
    CHECK(made("$home/.forward${recipient_delimiter}${extension}") == "/home/u/.forward+a/../b__home_");
    CHECK(made("$home/$empty") == "none");
    CHECK(made("$home/$nothing") == "none");
    CHECK(made("${empty?x}y") == "y");
    CHECK(made("${home") == "error");
    // "/" is no character of an extension with Postfix's own filter either; without it nothing leads out of the home.
    CHECK(expand_names("$home/x$extension", names, "abcdefghijklmnopqrstuvwxyz")->value_or("none") == "_home_u/xa____b__home_");
}

TEST_CASE("local words: a command is its words, or the shell's")
{
    using Words = std::vector<std::string>;
    CHECK(command_words("/bin/x -a  b", "") == Words{"/bin/x", "-a", "b"});
    CHECK(command_words("/bin/x \"$EXTENSION\"", "") == Words{"/bin/sh", "-c", "/bin/x \"$EXTENSION\""});
    CHECK(command_words("x | y", "") == Words{"/bin/sh", "-c", "x | y"});
    CHECK(command_words("/bin/x -a", "/bin/smrsh -c") == Words{"/bin/smrsh", "-c", "/bin/x -a"});
    CHECK(command_words("/bin/x -a", "/bin/smrsh") == Words{"/bin/smrsh", "-c", "/bin/x -a"});
    CHECK(command_words("  ", "").empty());
    CHECK(command_environment({{"user", "u"}, {"extension", "a;b"}, {"sender", ""}, {"recipient_delimiter", "+"}}, "abu") ==
          Words{"USER=u", "LOGNAME=u", "EXTENSION=a_b"});
}
