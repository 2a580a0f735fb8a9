// Records and policies of MTA-STS, and what is stored of them. What was understood is the same when it is written out again; limits hold; what was not
// says why in one line.
#include "fuzz.hpp"

#include "base/strings.hpp"
#include "dns/record.hpp"
#include "sts/policy.hpp"

#include <algorithm>

namespace posthorn::fuzz {

using namespace posthorn::sts;

namespace {

void check_policy(std::string_view input)
{
    const auto policy = parse_policy(input);
    if (!policy) {
        FUZZ_CHECK(!policy.error().what().empty() && policy.error().what().find('\n') == std::string::npos);
        return;
    }
    FUZZ_CHECK(input.size() <= policy_octets && policy->hosts.size() <= hosts_at_most && policy->max_age <= longest_age);
    FUZZ_CHECK(policy->mode == Mode::none || !policy->hosts.empty());
    const auto again = parse_policy(to_text(*policy));
    FUZZ_CHECK(again && *again == *policy);
    for (const std::string& host : policy->hosts) {
        FUZZ_CHECK(host == to_lower(host));
        if (!host.starts_with("*."))
            continue;
        FUZZ_CHECK(!names({.mode = Mode::enforce, .hosts = {host}, .max_age = {}}, host.substr(2)));
        FUZZ_CHECK(!names({.mode = Mode::enforce, .hosts = {host}, .max_age = {}}, "a.b" + host.substr(1)));
    }
    const Known known{"1", WallTime(std::chrono::seconds(1)), *policy};
    FUZZ_CHECK(known_of(octets_of(known)) == known);
}

void check_record(std::string_view input)
{
    std::vector<std::string> texts;
    for (const std::string_view text : split_exact(input, '\n'))
        texts.emplace_back(text);
    const auto id = id_of(texts);
    if (!id)
        return;
    FUZZ_CHECK(!id->empty() && id->size() <= 32 && std::ranges::all_of(*id, is_alnum));
    FUZZ_CHECK(
        std::ranges::any_of(texts, [&](const std::string& text) { return text.starts_with("v=STSv1") && text.find("id=" + *id) != text.npos; }));
    std::ranges::reverse(texts);
    FUZZ_CHECK(id_of(texts) == id);
}

}  // namespace

void fuzz_one(std::string_view input)
{
    check_policy(input);
    check_record(input);
    if (const auto known = known_of(input))
        FUZZ_CHECK(known_of(octets_of(*known)) == *known);
}

}  // namespace posthorn::fuzz
