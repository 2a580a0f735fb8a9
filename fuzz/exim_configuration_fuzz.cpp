// Exim's configuration and what its lists and strings hold. Whatever it is: reading ends and names a line where it fails; values stay within bounds; a list
// that is split and joined is the same list; what is translated has a verdict for each statement, and lets nobody relay who is not in mynetworks.
#include "fuzz.hpp"

#include "exim/key_file.hpp"
#include "exim/translate.hpp"

namespace posthorn::fuzz {

using namespace posthorn::exim;

namespace {

Machine small_machine(std::string_view input)
{
    Machine machine;
    machine.read = [input](const std::string& path) -> Result<std::string> {
        if (path == "/main")
            return std::string(input);
        if (path == "/f")
            return std::string("a: b, c@d.test\n*.k.test: host::25\n\"x y\": :fail: no\nb.test: [192.0.2.1]\n");
        return Error{"open " + path + ": No such file or directory"};
    };
    machine.exists = [](const std::string& path) { return path == "/f"; };
    machine.folder = [](const std::string&) { return std::vector<std::string>{"v.test"}; };
    machine.user = [](const std::string& name) { return name.empty() ? std::nullopt : std::optional(std::pair(500U, 500U)); };
    machine.host_name = "me.test";
    machine.users = {"root", "anna"};
    return machine;
}

void lists(std::string_view text)
{
    const std::vector<std::string> items = split_list(text);
    FUZZ_CHECK(split_list(join_list(items)) == items);
    for (const std::string& item : items)
        for (const ListOf what : {ListOf::domains, ListOf::hosts, ListOf::addresses, ListOf::local_parts})
            FUZZ_CHECK(classify(item, what).text.size() <= item.size() + 46);  // a network in full
    for (const KeyEntry& entry : read_key_file(text))
        FUZZ_CHECK(!entry.key.empty() && entry.key.size() + entry.value.size() <= text.size() && entry.line > 0);
    for (const std::string& piece : split_aliases(text))
        FUZZ_CHECK(!piece.empty() && piece.size() <= text.size());
}

void strings(std::string_view text)
{
    Known known;
    known.variables["primary_hostname"] = "me.test";
    known.exists = [](const std::string& path) { return path.size() % 2 == 0; };
    const Outcome outcome = evaluate(text, known);
    FUZZ_CHECK(outcome.kind != Outcome::Kind::known || outcome.text.size() <= text.size() * 8);
    if (const auto pieces = parse_expansion(text))
        for (const Piece& piece : *pieces)
            FUZZ_CHECK(piece.text.size() <= text.size());
}

}  // namespace

void fuzz_one(std::string_view input)
{
    lists(input);
    strings(input);
    const Machine machine = small_machine(input);
    const auto tree = read_configuration("/main", machine.read);
    if (!tree) {
        FUZZ_CHECK(tree.error().text().starts_with("/main, line ") || tree.error().text().starts_with("/f, line "));
        return;
    }
    for (const Option& option : tree->main) {
        FUZZ_CHECK(!option.name.empty() && option.place.line > 0);
        FUZZ_CHECK(option.value.size() <= 1 << 20);
        strings(option.value);
    }
    const Translation translation = translate(*tree, machine);
    FUZZ_CHECK(unjudged(*tree, translation).empty());
    // Nobody is let in for everything before it was asked whether the domain is ours.
    const Setting* restrictions = translation.find("smtpd_recipient_restrictions");
    FUZZ_CHECK(restrictions != nullptr);
    const std::string all = ", " + restrictions->value + ",";
    const std::size_t ours = all.find(", reject_unauth_destination,"), permit = all.find(", permit,");
    FUZZ_CHECK(ours != all.npos && (permit == all.npos || ours < permit || all.find(", reject,") < permit));
    for (const Setting& setting : translation.settings)
        FUZZ_CHECK(!setting.name.empty());
}

}  // namespace posthorn::fuzz
