// Files that a policy names, TOML or JSON. Whatever they are: reading ends, and names a line where it fails; every value has a place in the file; times and rates stay
// within bounds; a table that is merged with itself says the same. What is translated has a text for each verdict, and lets nobody relay who is not in mynetworks.
#include "fuzz.hpp"

#include "kumomta/data_file.hpp"
#include "kumomta/translate.hpp"

#include <algorithm>

namespace posthorn::fuzz {

using namespace posthorn::kumomta;

namespace {

void walk(const Value& value, int level)
{
    FUZZ_CHECK(level <= value_levels);
    FUZZ_CHECK(value.shown().size() <= 120);
    FUZZ_CHECK(value.same_as(value));
    if (const auto seconds = seconds_of(value)) {
        FUZZ_CHECK(*seconds >= 0 && *seconds <= 10'000'000'000);
        FUZZ_CHECK(seconds_of(Value::of(time_text(*seconds), {})) == seconds);
    }
    if (const auto rate = rate_of(value))
        FUZZ_CHECK(rate_of(Value::of(*rate, {})) == rate);
    for (const Value& item : value.items)
        walk(item, level + 1);
    for (const Entry& entry : value.entries)
        walk(entry.value, level + 1);
}

void translated(const Value& file)
{
    Policy policy;
    policy.path = "/p/init.lua";
    for (const auto add : {add_sources, add_queues, add_shaping, add_domains, add_signing})
        add(policy, file);
    Machine machine;
    machine.read = [](const std::string&) -> Result<std::string> { return Error{"no file"}; };
    machine.exists = [](const std::string& path) { return path.size() % 2 == 0; };
    machine.host_name = "me.test";
    const migrate::Translation translation = translate(policy, machine);
    for (const migrate::Verdict& verdict : translation.verdicts)
        FUZZ_CHECK(!verdict.text.empty() && !verdict.where.empty());
    for (const migrate::Setting& setting : translation.settings)
        FUZZ_CHECK(!setting.name.empty() && setting.value.find('\n') == setting.value.npos);
    for (const migrate::ServiceLines& lines : translation.services) {
        // Nothing of a name begins a line of its own.
        const auto ends = std::ranges::count(lines.text, '\n');
        std::ptrdiff_t options = 0;
        for (std::size_t at = 0; (at = lines.text.find("\n    -o ", at)) != lines.text.npos; ++at)
            ++options;
        FUZZ_CHECK(ends == options + 1);
    }
    const migrate::Setting* const relay = translation.find("smtpd_relay_restrictions");
    FUZZ_CHECK(relay && relay->value.ends_with("reject_unauth_destination"));
    FUZZ_CHECK(translation.find("mynetworks") != nullptr);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    for (const char* name : {"/e/x.toml", "/e/x.json"}) {
        const auto read = parse_data(input, name);
        if (!read) {
            FUZZ_CHECK(read.error().text().starts_with(name));
            continue;
        }
        walk(*read, 0);
        Value twice = *read;
        merge(twice, *read);
        FUZZ_CHECK(twice.same_as(*read));
        translated(*read);
    }
}

}  // namespace posthorn::fuzz
