// main.cf and its expressions. What was read and is written again reads the same; an edit changes what it names and nothing else;
// an expansion asks for no name that names_in does not show.
#include "fuzz.hpp"

#include <map>
#include <set>
#include <vector>

#include "config/edit.hpp"
#include "config/expand.hpp"
#include "config/list.hpp"
#include "config/main_cf.hpp"
#include "config/units.hpp"

namespace posthorn::fuzz {
namespace {

using namespace posthorn::config;
using Values = std::map<std::string, std::string, std::less<>>;

Values values_of(const MainCf& file)
{
    Values values;
    for (const auto& assignment : file.assignments)
        values.insert_or_assign(assignment.name, assignment.value);
    return values;
}

Values parsed(std::string_view text)
{
    const auto file = parse_main_cf(text, "main.cf");
    FUZZ_CHECK(file.has_value());
    return values_of(*file);
}

void check_expansion(const Values& values, std::string_view text)
{
    std::set<std::string, std::less<>> shown;
    std::vector<std::string> open{std::string{text}};
    while (!open.empty()) {
        const auto next = std::move(open.back());
        open.pop_back();
        names_in(next, [&](std::string_view name) {
            const auto value = values.find(name);
            if (shown.emplace(name).second && value != values.end())
                open.push_back(value->second);
        });
    }
    bool all_shown = true;
    const auto result = expand(text, [&](std::string_view name) -> std::optional<std::string_view> {
        all_shown = all_shown && shown.contains(name);
        const auto value = values.find(name);
        return value == values.end() ? std::nullopt : std::optional<std::string_view>{value->second};
    });
    FUZZ_CHECK(!result || all_shown);             // a malformed value ends the walk early, and the expansion with an error
    FUZZ_CHECK(!result || text.find('$') != text.npos || *result == text);
    FUZZ_CHECK(!result || result->size() <= (2U << 20) + text.size());
}

}  // namespace

void fuzz_one(std::string_view input)
{
    for (const ListMember& member : parse_list(input)) {
        FUZZ_CHECK(input.contains(member.text));
        FUZZ_CHECK(member.kind != ListMember::Kind::file || member.text.starts_with('/'));
        FUZZ_CHECK(member.kind != ListMember::Kind::table || member.text.contains(':'));
    }
    (void)parse_time(input, Unit::hours);
    const auto file = parse_main_cf(input, "main.cf");
    if (!file) {
        FUZZ_CHECK(file.error().what().starts_with("main.cf, line "));
        return check_expansion({}, input);
    }
    const auto values = values_of(*file);
    std::string again;
    for (const auto& [name, value] : values) {
        FUZZ_CHECK(!name.empty() && name.find_first_of(" \t\n=") == name.npos && value.find('\n') == value.npos);
        again += name + " = " + value + "\n";
    }
    FUZZ_CHECK(parsed(again) == values);
    for (const auto& [name, value] : values)
        check_expansion(values, value);

    std::vector<std::string> warnings;
    const auto name = values.empty() ? std::string{"fresh"} : values.begin()->first;
    auto changed = values;
    changed.insert_or_assign(name, "new value");
    FUZZ_CHECK(parsed(edit_main_cf(input, MainEdit::set, std::vector{Assignment{name, "new value", 0}}, "main.cf", warnings)) == changed);
    changed.erase(name);
    FUZZ_CHECK(parsed(edit_main_cf(input, MainEdit::remove, std::vector{Assignment{name, "", 0}}, "main.cf", warnings)) == changed);
    FUZZ_CHECK(parsed(edit_main_cf(input, MainEdit::comment_out, std::vector{Assignment{name, "", 0}}, "main.cf", warnings)) == changed);
}

}  // namespace posthorn::fuzz
